"""Tables of a DuckLake: what is staged is published as one snapshot, with a catalog in a real PostgreSQL."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import threading
from pathlib import Path

import duckdb
import duckdb_extensions
import pytest

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.ducklake import publish as publishing
from airflow_mapping_kit.tables.ducklake.attached import Lake
from airflows import AirflowException, AirflowFailException
from row_groups import row_groups
from stack.postgres import Postgres
from stack.processes import Processes
from staging import SEVERAL, SEVERAL_GROUPS, Staging, looked_up, publish_killed

OLD = tuple(map(int, duckdb.__version__.split(".")[:3])) < (1, 5, 5)
new_enough = pytest.mark.skipif(OLD, reason="this DuckDB's DuckLake can't be published to")

SQL = "SELECT $origin AS origin, $date::DATE AS date, $v::INTEGER AS v, unnest(range(3)) AS n"
COLUMNS = "origin VARCHAR, date DATE, v INTEGER, n BIGINT"
DAYS = ["2013-01-01", "2013-01-02"]
PLAN = [{"origin": origin, "date": day} for origin in ("EWR", "JFK") for day in DAYS]
COUNTED = "SELECT origin, date::VARCHAR, v, count(*) FROM lake.flights GROUP BY ALL ORDER BY ALL"
NUMBERS = itertools.count()
NO_INLINING = "SET ducklake_default_data_inlining_row_limit = 0"


def all_of(v, plan=PLAN):
    return sorted((piece["origin"], piece["date"], v, 3) for piece in plan)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start a PostgreSQL, and return the Airflow connection to a database of it."""
    folder = tmp_path_factory.mktemp("postgres")
    for extension in ("ducklake", "postgres_scanner", "httpfs"):
        duckdb_extensions.import_extension(extension)
    with Processes() as processes:
        yield json.loads(Postgres(processes, folder / "log").make_database("lake"))


@pytest.fixture(scope="module")
def reader(server):
    """Return a DuckDB of the lakes' users."""
    with duckdb.connect() as connection:
        connection.execute("LOAD ducklake")
        connection.execute("LOAD postgres_scanner")
        connection.execute(NO_INLINING)
        yield connection


class DuckLake:
    """A lake, as its users have it."""

    def __init__(self, connection, server, folder, schema):
        self.connection, self.folder = connection, folder
        self.attach = (
            f"ATTACH 'ducklake:postgres:host={server['host']} user=postgres dbname=lake' AS lake "
            f"(METADATA_SCHEMA '{schema}', DATA_PATH '{folder}')"
        )
        connection.execute(self.attach)

    def do(self, *statements):
        """Run statements, each in a transaction of its own, and return the rows of the last."""
        for statement in statements:
            rows = self.connection.execute(statement).fetchall()
        return rows

    def counted(self):
        return self.do(COUNTED)

    def snapshot(self):
        return self.do("FROM ducklake_current_snapshot('lake')")[0][0]


@pytest.fixture
def new_lake(server, reader, monkeypatch):
    """Return a function that makes a lake without tables, which the Airflow connection `lake` is of."""

    def make(folder):
        schema = f"lake_{next(NUMBERS)}"
        connect_to(monkeypatch, server, schema)
        return DuckLake(reader, server, folder, schema)

    yield make
    reader.execute("DETACH DATABASE IF EXISTS lake")


def connect_to(monkeypatch, server, schema):
    """Have the Airflow connection `lake` be of a lake, and what is attached to it not ask who signed the extensions.

    That takes each DuckDB a fifth of a second.
    """
    extra = {"metadata_schema": schema}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps({**server, "extra": extra}))
    connect = duckdb.connect

    def unchecked(*args, config=(), **kwargs):
        return connect(*args, config={**dict(config), "allow_unsigned_extensions": True}, **kwargs)

    monkeypatch.setattr(duckdb, "connect", unchecked)


@pytest.fixture(scope="module")
def disk_lake(server, tmp_path_factory):
    """Return the lake on the disk that the tests share, for to make one takes a fifth of a second."""
    with duckdb.connect() as connection:
        for statement in ("LOAD ducklake", "LOAD postgres_scanner", NO_INLINING):
            connection.execute(statement)
        yield DuckLake(connection, server, tmp_path_factory.mktemp("lake") / "a=b" / "data", "on_disk")


@pytest.fixture
def empty_lake(disk_lake, server, monkeypatch):
    """Return a lake on the disk without tables, of which no snapshot knows any."""
    connect_to(monkeypatch, server, "on_disk")
    yield disk_lake
    tables = disk_lake.do("SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake'")
    disk_lake.do(
        *(f"DROP TABLE lake.{name}" for (name,) in tables),
        "CALL ducklake_expire_snapshots('lake', older_than => now())",
    )
    shutil.rmtree(disk_lake.folder, ignore_errors=True)


ALTER, DROP = "ALTER TABLE lake.flights", "DROP TABLE lake.flights"
PARTITIONED = f"{ALTER} SET PARTITIONED BY (date, origin)"
both_kinds = pytest.mark.parametrize("lake", ["plain", "partitioned"], indirect=True)


@pytest.fixture
def lake(empty_lake, request):
    """Return a lake whose table has four partitions of version 0, each a file."""
    make = f"CREATE TABLE lake.flights ({COLUMNS})"
    empty_lake.do(make, "SELECT 1" if getattr(request, "param", "") == "plain" else PARTITIONED)
    for piece in PLAN:
        empty_lake.do(
            f"INSERT INTO lake.flights SELECT '{piece['origin']}', '{piece['date']}', 0, unnest(range(3))"
        )
    return empty_lake


def run_of(run_id="run", name="flights", **arguments):
    return Staging(looked_up("ducklake", name=name, conn_id="lake", **arguments), run_id)


def parquet_files(folder):
    return {str(path) for path in Path(folder).rglob("*.parquet")}


@pytest.mark.skipif(not OLD, reason="this DuckDB's DuckLake can be published to")
def test_a_duckdb_whose_ducklake_can_not_keep_the_promise_is_refused():
    with pytest.raises(AirflowFailException, match=r"needs DuckDB 1\.5\.5 or newer, and here is 1\."):
        looked_up("ducklake", name="flights", conn_id="lake")


@new_enough
class TestPublishing:
    @both_kinds
    def test_all_partitions_are_one_snapshot_and_others_stay(self, lake):
        before = lake.snapshot()
        run = run_of()
        pieces = run.stage(SQL, *PLAN[:3], parameters={"v": 1})
        assert lake.counted() == all_of(0), "what is staged is seen by nobody"
        done = run.publish(pieces)
        assert done == {"snapshot": before + 1, "rows": 9, "replaced_files": 3, "left_over": 0}
        assert lake.counted() == sorted(all_of(1, PLAN[:3]) + all_of(0, PLAN[3:]))
        assert lake.do(f"SELECT DISTINCT v FROM lake.flights AT (VERSION => {before})") == [(0,)]
        # Publishing again changes nothing, whatever others did since.
        lake.do("INSERT INTO lake.flights VALUES ('EWR', '2013-01-01', 5, 0)")
        assert run.publish(pieces) == done
        assert ("EWR", DAYS[0], 5, 1) in lake.counted()
        assert lake.snapshot() == before + 2

    def test_a_partition_without_rows_is_emptied(self, lake):
        run = run_of()
        pieces = run.stage(f"{SQL} WHERE $origin != 'EWR'", *PLAN, parameters={"v": 1})
        assert run.publish(pieces)["rows"] == 6
        assert lake.counted() == all_of(1, PLAN[2:])

    def test_what_was_published_is_left_alone_and_lives_on_when_snapshots_expire(self, lake):
        run, later = run_of(), run_of("later")
        first = run.stage(SQL, *PLAN[:2], parameters={"v": 1})
        run.publish(first)
        later.publish(later.stage(SQL, PLAN[0], parameters={"v": 2}))
        rest = run.stage(SQL, *PLAN[2:], parameters={"v": 1})
        run.publish([*first, *rest])
        expected = sorted(all_of(2, PLAN[:1]) + all_of(1, PLAN[1:]))
        assert lake.counted() == expected
        lake.do(
            "CALL ducklake_expire_snapshots('lake', older_than => now())",
            "CALL ducklake_cleanup_old_files('lake', cleanup_all => true)",
        )
        assert lake.counted() == expected

    def test_a_file_of_a_snapshot_that_was_forgotten_is_not_added_again(self, lake):
        run, later = run_of(), run_of("later")
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        run.publish(pieces)
        later.publish(later.stage(SQL, *PLAN, parameters={"v": 2}))
        lake.do("CALL ducklake_expire_snapshots('lake', older_than => now())")
        with pytest.raises(TargetError, match=r"the snapshot that added it has expired: clear its instance"):
            run.publish(pieces)
        assert lake.counted() == all_of(2)

    def test_left_over_files_of_this_run_alone_are_removed(self, lake):
        run, other = run_of(), run_of("other")
        waiting = other.stage(SQL, *PLAN, parameters={"v": 9})
        run.stage(SQL, *PLAN, parameters={"v": 1})  # of a try that was killed
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        assert run.publish(pieces)["left_over"] == 4
        other.publish(waiting)
        assert lake.counted() == all_of(9)
        assert run.publish(pieces)["left_over"] == 0
        assert parquet_files(run.prefix) == {piece["path"] for piece in pieces}

    def test_several_files_of_a_partition_are_published_and_replaced_together(self, lake):
        many = SQL.replace("range(3)", "range(5000)")
        counted = "SELECT v, count(*), count(DISTINCT n), sum(n) FROM lake.flights GROUP BY 1"
        for v, replaced in ((1, 4), (2, 12)):
            run = run_of(f"of {v}")
            run.stage(many, PLAN[0], parameters={"v": v}, **SEVERAL)  # of a try that was killed
            pieces = run.stage(many, *PLAN, parameters={"v": v}, **SEVERAL)
            done = run.publish(pieces)
            assert (done["rows"], done["replaced_files"], done["left_over"]) == (20_000, replaced, 3)
            assert lake.do(counted) == [(v, 20_000, 5000, 4 * 12_497_500)]
            assert parquet_files(run.prefix) == {one["path"] for piece in pieces for one in piece["files"]}
            assert row_groups(parquet_files(run.prefix)) == SEVERAL_GROUPS
            assert run.publish(pieces) == {**done, "left_over": 0}

    def test_a_staged_file_that_is_gone_is_named(self, lake):
        run = run_of()
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        Path(pieces[1]["path"]).unlink()
        with pytest.raises(
            TargetError, match=r"date=2013-01-02/origin=EWR: .* is gone, so nothing is published"
        ):
            run.publish(pieces)
        assert lake.counted() == all_of(0)

    @both_kinds
    def test_only_files_that_may_have_rows_of_the_partitions_are_read(self, lake, monkeypatch):
        seen = []
        rows = Lake.rows

        def explained(self, sql):
            if sql.startswith("DELETE"):
                seen.append(
                    rows(self, f"EXPLAIN ANALYZE {sql.replace('DELETE', 'SELECT count(*)', 1)}")[0][1]
                )
            return rows(self, sql)

        monkeypatch.setattr(Lake, "rows", explained)
        run = run_of()
        run.publish(run.stage(SQL, *PLAN[:1], parameters={"v": 1}))
        assert "Total Files Read: 1 " in seen[0]


@new_enough
class TestValues:
    @pytest.mark.parametrize(
        "by", ["", "ALTER TABLE lake.t SET PARTITIONED BY (k)"], ids=["plain", "partitioned"]
    )
    def test_text_of_any_kind_comes_back_and_is_found_again(self, empty_lake, by):
        values = [
            "NULL",
            None,
            "null",
            "a/b",
            "a=b",
            "100%",
            "é 1",
            "it's",
            "%2F",
            "..",
            "a?b#c",
            '"q"',
            "*[1]",
            "x\ty",
        ]
        empty_lake.do("CREATE TABLE lake.t (v BIGINT, k VARCHAR)", by or "SELECT 1")
        # As DuckLake itself writes them.
        rows = ", ".join(
            "(0, NULL)" if value is None else f"(0, '{value.replace(chr(39), chr(39) * 2)}')"
            for value in values
        )
        empty_lake.do(f"INSERT INTO lake.t VALUES {rows}")
        for v in (1, 2):
            run = run_of(f"run {v}", "t")
            partitions = [{"k": value} for value in values]
            run.publish(run.stage("SELECT $v::BIGINT AS v", *partitions, parameters={"v": v}, unused=["k"]))
        assert sorted(empty_lake.do("SELECT k, v FROM lake.t"), key=repr) == sorted(
            [(value, 2) for value in values], key=repr
        )
        assert empty_lake.do("SELECT v FROM lake.t WHERE k = 'NULL'") == [(2,)]
        assert empty_lake.do("SELECT v FROM lake.t WHERE k IS NULL") == [(2,)]

    @pytest.mark.parametrize(
        ("transform", "column", "value", "inside", "outside"),
        [
            ("year", "TIMESTAMP", "2013", "2013-12-31 23:59:59.999999", "2014-01-01"),
            ("month", "DATE", "2013-02", "2013-02-28", "2013-03-01"),
            ("day", "TIMESTAMPTZ", "2013-01-01", "2013-01-01 23:59:59+00", "2013-01-02 00:00:00+00"),
            ("hour", "TIMESTAMP", "2013-01-01T05", "2013-01-01 05:59:59", "2013-01-01 06:00:00"),
        ],
    )
    def test_a_period_of_a_column_is_replaced_and_what_is_around_it_stays(
        self, empty_lake, transform, column, value, inside, outside
    ):
        empty_lake.do(
            f"CREATE TABLE lake.t (ts {column}, v INTEGER)",
            f"INSERT INTO lake.t VALUES ('{inside}', 0), ('{outside}', 0), (NULL, 0)",
        )
        run = run_of(name="t", dimensions={"when": f"{transform}(ts)"})
        sql = f"SELECT '{inside}'::{column} AS ts, 1::INTEGER AS v"
        # A session's clock doesn't say what a day is.
        run.publish(run.stage(sql, {"when": value}, unused=["when"], timezone="America/New_York"))
        assert empty_lake.do(f"SELECT ts = '{inside}'::{column}, v FROM lake.t ORDER BY ALL") == [
            (False, 0),
            (True, 1),
            (None, 0),
        ]
        run = run_of("null", "t", dimensions={"when": f"{transform}(ts)"})
        run.publish(run.stage("SELECT 2::INTEGER AS v", {"when": None}, unused=["when"]))
        assert empty_lake.do("SELECT v FROM lake.t WHERE ts IS NULL") == [(2,)]

    def test_every_type_comes_back_as_it_was(self, empty_lake):
        values = {
            "TINYINT": "-128",
            "SMALLINT": "-32768",
            "INTEGER": "-2147483648",
            "BIGINT": "-9223372036854775808",
            "UTINYINT": "255",
            "USMALLINT": "65535",
            "UINTEGER": "4294967295",
            "UBIGINT": "18446744073709551615",
            "FLOAT": "0.1",
            "DOUBLE": "0.1",
            "DECIMAL(20,5)": "-123456789012345.67891",
            "DECIMAL(38,0)": "99999999999999999999999999999999999999",
            "BOOLEAN": "true",
            "VARCHAR": "'é'",
            "BLOB": "'\\x00\\xFF'",
            "DATE": "'1582-10-15'",
            "TIME": "'03:04:05.678901'",
            "TIMESTAMP": "'2013-01-02 03:04:05.678901'",
            "TIMESTAMP_S": "'2013-01-02 03:04:05'",
            "TIMESTAMP_MS": "'2013-01-02 03:04:05.678'",
            "TIMESTAMP_NS": "'2013-01-02 03:04:05.678901234'",
            "TIMESTAMP WITH TIME ZONE": "'2013-01-02 03:04:05.678901+00'",
            "JSON": "'{\"a\": 1}'",
            "UUID": "'11111111-2222-3333-4444-555555555555'",
            'STRUCT(a INTEGER, "B c" VARCHAR[])': "{'a': 1, 'B c': ['x', NULL]}",
            "INTEGER[]": "[1, NULL]",
            "MAP(VARCHAR, BIGINT)": "MAP {'k': 1, 'n': NULL}",
        }
        columns = [f"c{number} {kind}" for number, kind in enumerate(values)]
        empty_lake.do(f"CREATE TABLE lake.t (p VARCHAR, {', '.join(columns)})")
        full = ", ".join(f"CAST({value} AS {kind}) AS c{n}" for n, (kind, value) in enumerate(values.items()))
        run = run_of(name="t")
        run.publish(
            run.stage(
                f"SELECT {full} WHERE $p = 'a' UNION ALL SELECT {', '.join(['NULL'] * len(values))}",
                {"p": "a"},
            )
        )
        same = ", ".join(f"c{n} = CAST({value} AS {kind})" for n, (kind, value) in enumerate(values.items()))
        assert empty_lake.do(f"SELECT p, {same} FROM lake.t WHERE c0 IS NOT NULL") == [
            ("a", *[True] * len(values))
        ]
        null = " AND ".join(f"c{n} IS NULL" for n in range(len(values)))
        assert empty_lake.do(f"SELECT count(*) FROM lake.t WHERE {null}") == [(1,)]

    @pytest.mark.parametrize(
        "kind", ["HUGEINT", "INTERVAL", "TIMETZ", "GEOMETRY", "VARIANT", "STRUCT(a UHUGEINT[])"]
    )
    def test_a_type_that_a_file_cannot_hold_is_refused(self, empty_lake, kind):
        empty_lake.do(f'CREATE TABLE lake.t (p VARCHAR, "HUGEINT" INTEGER, x {kind})')
        with pytest.raises(AirflowFailException, match="the column 'x' of .* can't hold a"):
            run_of(name="t")

    def test_a_required_column_has_to_have_a_value(self, empty_lake):
        empty_lake.do("CREATE TABLE lake.t (p VARCHAR, v INTEGER NOT NULL)")
        run = run_of(name="t")
        with pytest.raises(AirflowFailException, match="v=NULL, and the table requires a value"):
            run.stage("SELECT NULL::INTEGER AS v WHERE $p = 'a'", {"p": "a"})

    def test_columns_that_were_added_and_renamed_before_are_known_by_their_names(self, empty_lake):
        empty_lake.do(
            "CREATE TABLE lake.t (p VARCHAR, old INTEGER)",
            "INSERT INTO lake.t VALUES ('b', 1)",
            "ALTER TABLE lake.t RENAME COLUMN old TO new",
            "ALTER TABLE lake.t ADD COLUMN late VARCHAR DEFAULT 'x'",
            "ALTER TABLE lake.t RENAME TO named",
        )
        run = run_of(name="named")
        run.publish(run.stage("SELECT 2::INTEGER AS new, 'y' AS late WHERE $p = 'a'", {"p": "a"}))
        assert empty_lake.do("SELECT p, new, late FROM lake.named ORDER BY p") == [
            ("a", 2, "y"),
            ("b", 1, "x"),
        ]


@new_enough
class TestInBetween:
    """Somebody else commits between the plan and the commit."""

    @pytest.fixture
    def between(self, lake, monkeypatch):
        """Return a function that has statements run once: after the plan, or right before the commit."""
        rows = Lake.rows

        def do(where, *statements):
            waiting = [statements]

            def interrupted(self, sql):
                if sql.startswith({"plan": "BEGIN", "commit": "COMMIT"}[where]) and waiting:
                    lake.do(*waiting.pop())
                return rows(self, sql)

            monkeypatch.setattr(Lake, "rows", interrupted)

        return do

    @pytest.mark.parametrize(
        ("where", "statement"),
        [
            ("plan", "INSERT INTO lake.flights VALUES ('EWR', '2013-01-01', 6, 0)"),
            ("commit", "INSERT INTO lake.flights SELECT 'LGA', DATE '2013-01-01', 6, range FROM range(100)"),
            ("commit", "DELETE FROM lake.flights WHERE origin = 'EWR'"),
            ("commit", "UPDATE lake.flights SET v = 6 WHERE origin = 'EWR'"),
        ],
        ids=["same partition", "empty partition", "delete", "update"],
    )
    def test_what_others_did_to_the_same_partitions_is_replaced(self, lake, between, where, statement):
        plan = [*PLAN, {"origin": "LGA", "date": DAYS[0]}]
        run = run_of()
        pieces = run.stage(SQL, *plan, parameters={"v": 1})
        between(where, statement)
        run.publish(pieces)
        assert lake.counted() == all_of(1, plan)

    def test_what_others_did_elsewhere_stays(self, lake, between):
        run = run_of()
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        between(
            "commit",
            "INSERT INTO lake.flights VALUES ('LGA', '2013-01-01', 6, 0)",
            "CREATE TABLE lake.other (x INTEGER)",
            "ALTER TABLE lake.flights ADD COLUMN late VARCHAR",
        )
        run.publish(pieces)
        assert lake.counted() == sorted([*all_of(1), ("LGA", DAYS[0], 6, 1)])

    @pytest.mark.parametrize(
        "changes",
        [
            [
                (f"{ALTER} RENAME COLUMN v TO w", "v is gone", f"{ALTER} RENAME COLUMN w TO v"),
                (f"{ALTER} SET PARTITIONED BY (origin)", "it is partitioned by origin", PARTITIONED),
                (f"{ALTER} ALTER COLUMN v SET DATA TYPE BIGINT", "v was INTEGER and is BIGINT", "SELECT 1"),
            ],
            [
                (
                    "CREATE OR REPLACE TABLE lake.flights (v INTEGER)",
                    "it is another table of that name",
                    DROP,
                ),
            ],
            [(DROP, "has no table 'main.flights'", "SELECT 1")],
        ],
        ids=["columns and partitions", "another", "none"],
    )
    def test_a_table_that_changed_is_refused(self, lake, between, changes):
        run = run_of()
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        for change, said, back in changes:
            between("plan", change)
            with pytest.raises(TargetError, match=said):
                run.publish(pieces)
            lake.do(back)

    def test_who_never_gets_through_publishes_nothing_and_keeps_what_is_staged(self, lake, monkeypatch):
        monkeypatch.setattr(publishing, "_LONGEST_WAIT", 0.01)
        monkeypatch.setattr(publishing, "_ATTEMPTS", 3)
        holder = Lake
        rows = holder.rows

        def interrupted(self, sql):
            if sql == "COMMIT":
                lake.do("CREATE OR REPLACE TABLE lake.other (x INTEGER)")
            return rows(self, sql)

        run = run_of()
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        monkeypatch.setattr(holder, "rows", interrupted)
        with pytest.raises(
            AirflowException, match=r"none of 3 commits went through(.|\n)*run this task again"
        ):
            run.publish(pieces)
        monkeypatch.setattr(holder, "rows", rows)
        assert lake.counted() == all_of(0)
        run.publish(pieces)
        assert lake.counted() == all_of(1)


@new_enough
class TestKilled:
    @pytest.mark.parametrize(
        ("step", "v"),
        [
            ("after delete", 0),
            ("after add", 0),
            ("before commit", 0),
            ("after commit", 1),
            ("after clean", 1),
        ],
    )
    def test_all_is_old_or_all_new_and_the_next_try_leaves_nothing_over(self, lake, step, v):
        run, before = run_of(), lake.snapshot()
        run.stage(SQL, *PLAN, parameters={"v": 7})  # of tries that were killed
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        assert publish_killed("ducklake", run, pieces, step) == -signal.SIGKILL
        assert lake.counted() == all_of(v)
        run.publish(pieces)
        assert lake.counted() == all_of(1)
        assert lake.snapshot() == before + 1
        assert parquet_files(run.prefix) == {piece["path"] for piece in pieces}

    def test_runs_that_publish_at_once_all_come_through_and_no_reader_sees_a_mixture(self, lake):
        before, runs = lake.snapshot(), [run_of(str(number)) for number in range(4)]
        staged = [(run, run.stage(SQL, *PLAN, parameters={"v": v})) for v, run in enumerate(runs, 1)]
        seen, over = [], threading.Event()

        def read():
            with lake.connection.cursor() as connection:
                while not over.is_set():
                    seen.append(
                        connection.execute("SELECT count(*), min(v), max(v) FROM lake.flights").fetchone()
                    )

        reader = threading.Thread(target=read)
        threads = [threading.Thread(target=run.publish, args=(pieces,)) for run, pieces in staged]
        for thread in [reader, *threads]:
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        reader.join()
        assert all(count == 12 and least == most for count, least, most in seen)
        assert len(seen) > 10
        assert lake.counted() in [all_of(v) for v in range(1, 5)]
        assert lake.snapshot() == before + 4


@new_enough
class TestBadInput:
    def test_a_table_that_does_not_exist_is_told_with_its_neighbours(self, lake):
        with pytest.raises(AirflowFailException, match=r"no table 'flight' \(near: 'flights'\)"):
            run_of(name="flight")
        with pytest.raises(AirflowFailException, match="no table 'raw.flights'"):
            run_of(name="raw.flights")
        with pytest.raises(AirflowFailException, match="None is no name of a table"):
            run_of(name=None)

    def test_a_partition_that_is_no_dimension_is_refused_before_anything_is_staged(self, empty_lake):
        empty_lake.do(
            f"CREATE TABLE lake.flights ({COLUMNS})", "ALTER TABLE lake.flights SET PARTITIONED BY (v)"
        )
        with pytest.raises(
            AirflowFailException, match="is partitioned by v, and no dimension lives in that column"
        ):
            run_of().stage(SQL, PLAN[0], parameters={"v": 1})
        assert parquet_files(empty_lake.folder) == set()

    @pytest.mark.parametrize("by", ["year(date)", "bucket(4, origin)"])
    def test_partitions_by_anything_but_columns_are_refused(self, empty_lake, by):
        empty_lake.do(
            f"CREATE TABLE lake.flights ({COLUMNS})", f"ALTER TABLE lake.flights SET PARTITIONED BY ({by})"
        )
        with pytest.raises(
            AirflowFailException, match=r"DuckLake \(1.0\) writes such partitions down wrongly"
        ):
            run_of()

    def test_a_partition_column_that_no_directory_can_be_called_after_is_refused(self, empty_lake):
        empty_lake.do('CREATE TABLE lake.t ("a%b" VARCHAR)', 'ALTER TABLE lake.t SET PARTITIONED BY ("a%b")')
        with pytest.raises(
            AirflowFailException, match="partitioned by 'a%b', and DuckLake reads no column of that"
        ):
            run_of(name="t")

    def test_a_lake_below_a_directory_that_looks_like_a_partition_is_refused(self, empty_lake):
        empty_lake.do(
            "CREATE TABLE lake.t (k VARCHAR, a VARCHAR)", "ALTER TABLE lake.t SET PARTITIONED BY (k)"
        )
        with pytest.raises(AirflowFailException, match="has its files below 'a=b', from which its column"):
            run_of(name="t")

    def test_two_pieces_that_are_one_partition_are_refused(self, empty_lake):
        empty_lake.do("CREATE TABLE lake.t (k DECIMAL(5,2), v INTEGER)")
        run = run_of(name="t")
        pieces = run.stage("SELECT 1::INTEGER AS v", {"k": "1.5"}, {"k": "1.50"}, unused=["k"])
        with pytest.raises(TargetError, match=r"k=1\.5 and k=1\.50 are the same one|k=1\.50 and k=1\.5 are"):
            run.publish(pieces)

    @pytest.mark.parametrize(
        ("connection", "error", "said"),
        [
            (
                {"conn_type": "postgres", "host": "/nowhere"},
                AirflowException,
                "can't be attached: .*No such file",
            ),
            ({"extra": {"metadata_schema": "other"}}, AirflowFailException, "does not exist"),
            ({"schema": "nothing"}, AirflowFailException, 'database "nothing" does not exist'),
            ({"conn_type": "mysql"}, AirflowFailException, "is of type 'mysql', and the kit knows catalogs"),
            ({"conn_type": "duckdb", "host": "/nowhere/c.db"}, AirflowFailException, "which isn't there"),
        ],
    )
    def test_a_catalog_that_is_not_there_is_told_without_its_password(
        self, server, monkeypatch, connection, error, said
    ):
        password = "zyzzyva'quokka"
        monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps({**server, "password": password, **connection}))
        with pytest.raises(error, match=said) as raised:
            run_of()
        assert "zyzzyva" not in str(raised.value)


@new_enough
def test_a_catalog_may_be_a_file_of_duckdb(tmp_path, monkeypatch, server):
    catalog = tmp_path / "catalog.db"
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps({"conn_type": "duckdb", "host": str(catalog)}))
    attach = f"ATTACH 'ducklake:{catalog}' AS lake (DATA_PATH '{tmp_path / 'data'}')"
    with duckdb.connect() as connection:
        for statement in ("LOAD ducklake", attach, f"CREATE TABLE lake.flights ({COLUMNS})"):
            connection.execute(statement)
    run = run_of()
    run.publish(run.stage(SQL, *PLAN, parameters={"v": 1}))
    with duckdb.connect() as connection:
        connection.execute("LOAD ducklake")
        connection.execute(attach)
        assert connection.execute(COUNTED).fetchall() == all_of(1)


@new_enough
def test_a_lake_may_be_in_s3(new_lake, s3_bucket, s3_conn, s3_client, s3_server):
    lake = new_lake(f"s3://{s3_bucket}/lake")
    host, credentials = s3_server.removeprefix("http://"), s3_client._request_signer._credentials
    secret = credentials.secret_key.replace("'", "''")
    lake.do(
        "LOAD httpfs",
        f"CREATE SECRET (TYPE s3, KEY_ID '{credentials.access_key}', SECRET '{secret}', REGION 'eu-west-1', "
        f"ENDPOINT '{host}', USE_SSL false, URL_STYLE 'path')",
        f"CREATE TABLE lake.flights ({COLUMNS})",
        "ALTER TABLE lake.flights SET PARTITIONED BY (origin)",
    )
    run = run_of(aws_conn_id=s3_conn)
    run.stage(SQL, PLAN[0], parameters={"v": 7})
    pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
    assert run.publish(pieces)["left_over"] == 1
    keys = [entry["Key"] for entry in s3_client.list_objects_v2(Bucket=s3_bucket)["Contents"]]
    assert {f"s3://{s3_bucket}/{key}" for key in keys} == {piece["path"] for piece in pieces}
    assert lake.counted() == all_of(1)
