"""Delta tables: what is staged for them is published as one version, on real tables by deltalake."""

from __future__ import annotations

import datetime
import decimal
import json
import signal
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.delta import publish as publishing
from airflows import AirflowException, AirflowFailException
from row_groups import row_groups
from staging import SEVERAL, SEVERAL_GROUPS, Staging, looked_up, publish_killed, stage_killed

SQL = "SELECT $origin AS origin, $date::DATE AS date, $v::INTEGER AS v, unnest(range(3)) AS n"
DAYS = ["2013-01-01", "2013-01-02"]
PLAN = [{"origin": origin, "date": day} for origin in ("EWR", "JFK") for day in DAYS]
SCHEMA = pa.schema(
    [
        ("origin", pa.string()),
        ("date", pa.date32()),
        ("v", pa.int32()),
        ("n", pa.int64()),
    ]
)


def rows(
    path, query="SELECT origin, CAST(date AS VARCHAR) AS date, v, count(*) AS n FROM t GROUP BY 1, 2, 3"
):
    """Return what deltalake reads, as sorted tuples."""
    read = QueryBuilder().register("t", DeltaTable(str(path))).execute(query).read_all()
    columns = [read[name].to_pylist() for name in read.schema.names]
    return sorted(zip(*columns, strict=True), key=repr)


def all_of(v, plan=PLAN):
    return sorted(((piece["origin"], piece["date"], v, 3) for piece in plan), key=repr)


def new_table(path, schema=SCHEMA, by=("origin", "date"), **arguments):
    DeltaTable.create(str(path), schema, partition_by=list(by), **arguments)
    return path


def appended(path, origin, day, v):
    write_deltalake(
        str(path),
        pa.table(
            {"origin": [origin], "date": [datetime.date.fromisoformat(day)], "v": [v], "n": [0]},
            schema=SCHEMA,
        ),
        mode="append",
    )


def parquet_files(folder):
    return {str(path) for path in Path(folder).rglob("*.parquet")}


@pytest.fixture
def lake(tmp_path):
    """Return a table whose four partitions are of version 0, published by a run of its own."""
    path = new_table(tmp_path / "lake" / "flights")
    first = Staging(looked_up("delta", name=str(path)), "first")
    first.publish(first.stage(SQL, *PLAN, parameters={"v": 0}))
    return path


def run_of(lake, run_id="run", **arguments):
    return Staging(looked_up("delta", name=str(lake), **arguments), run_id)


class TestPublishing:
    def test_all_partitions_are_one_version_and_others_stay(self, lake):
        before = DeltaTable(str(lake)).version()
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN[:3], parameters={"v": 1})
        assert rows(lake) == all_of(0), "what is staged is seen by nobody"
        done = run.publish(pieces)
        assert done == {"snapshot": before + 1, "rows": 9, "replaced_files": 3, "left_over": 0}
        assert DeltaTable(str(lake)).version() == before + 1
        assert rows(lake) == sorted(all_of(1, PLAN[:3]) + all_of(0, PLAN[3:]), key=repr)

    def test_the_version_before_is_whole(self, lake):
        run = run_of(lake)
        done = run.publish(run.stage(SQL, *PLAN, parameters={"v": 1}))
        old = DeltaTable(str(lake), version=done["snapshot"] - 1)
        read = QueryBuilder().register("t", old).execute("SELECT DISTINCT v FROM t").read_all()
        assert read["v"].to_pylist() == [0]

    def test_a_partition_without_rows_is_emptied(self, lake):
        run = run_of(lake)
        pieces = run.stage(f"{SQL} WHERE $origin != 'EWR'", *PLAN, parameters={"v": 1})
        assert [piece["path"] is None for piece in pieces] == [True, True, False, False]
        assert run.publish(pieces)["rows"] == 6
        assert rows(lake) == all_of(1, PLAN[2:])

    def test_a_partition_that_is_staged_again_without_rows_is_emptied_again(self, lake):
        run = run_of(lake)
        for sql in (f"{SQL} WHERE $origin != 'EWR'", SQL, f"{SQL} WHERE $origin != 'EWR'"):
            run.publish(run.stage(sql, *PLAN, parameters={"v": 1}))
        assert rows(lake) == all_of(1, PLAN[2:])

    def test_publishing_again_changes_nothing(self, lake):
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        done = run.publish(pieces)
        appended(lake, "EWR", DAYS[0], 5)
        version = DeltaTable(str(lake)).version()
        assert run.publish(pieces) == done
        assert DeltaTable(str(lake)).version() == version
        assert ("EWR", DAYS[0], 5, 1) in rows(lake)

    def test_what_was_published_is_left_alone_when_cleared_pieces_follow(self, lake):
        run = run_of(lake)
        first = run.stage(SQL, *PLAN[:2], parameters={"v": 1})
        run.publish(first)
        # A later run has replaced one of them meanwhile.
        later = run_of(lake, "later")
        later.publish(later.stage(SQL, PLAN[0], parameters={"v": 2}))
        rest = run.stage(SQL, *PLAN[2:], parameters={"v": 1})
        run.publish([*first, *rest])
        assert rows(lake) == sorted(all_of(2, PLAN[:1]) + all_of(1, PLAN[1:]), key=repr)
        # Nothing that the table has is taken for removed, and may be deleted.
        DeltaTable(str(lake)).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
        assert rows(lake) == sorted(all_of(2, PLAN[:1]) + all_of(1, PLAN[1:]), key=repr)

    def test_a_cleared_piece_replaces_what_its_earlier_try_published(self, lake):
        run = run_of(lake)
        first = run.stage(SQL, *PLAN, parameters={"v": 1})
        run.publish(first)
        again = run.stage(SQL, PLAN[0], parameters={"v": 2})
        assert run.publish([*again, *first[1:]])["replaced_files"] == 1
        assert rows(lake) == sorted(all_of(2, PLAN[:1]) + all_of(1, PLAN[1:]), key=repr)

    def test_what_was_rolled_back_counts_as_not_published(self, lake):
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        run.publish(pieces)
        DeltaTable(str(lake)).restore(1)
        with pytest.raises(TargetError, match=r"origin=EWR was published .* RESTORE\. .* Clear its instance"):
            run.publish(pieces)
        run.publish(run.stage(SQL, *PLAN, parameters={"v": 1}))
        assert rows(lake) == all_of(1)

    def test_a_restore_of_a_moment_is_one_too(self, lake):
        run, before = run_of(lake), DeltaTable(str(lake)).history(1)[0]["timestamp"]
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        run.publish(pieces)
        DeltaTable(str(lake)).restore(
            datetime.datetime.fromtimestamp((before + 1) / 1000, datetime.timezone.utc)
        )
        with pytest.raises(TargetError, match="Clear its instance"):
            run.publish(pieces)

    def test_a_log_that_has_forgotten_the_commit_is_no_reason_to_publish_twice(self, lake):
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        run.publish(pieces)
        appended(lake, "EWR", DAYS[0], 5)
        DeltaTable(str(lake)).create_checkpoint()
        for entry in sorted((lake / "_delta_log").glob("*.json"))[:-1]:
            entry.unlink()
        assert run.publish(pieces)["left_over"] == 0
        assert rows(lake) == sorted([*all_of(1), ("EWR", DAYS[0], 5, 1)], key=repr)

    def test_after_a_restore_of_a_restore_it_is_published(self, lake):
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        done = run.publish(pieces)
        DeltaTable(str(lake)).restore(1)
        DeltaTable(str(lake)).restore(done["snapshot"])
        assert run.publish(pieces) == done
        assert rows(lake) == all_of(1)

    def test_left_over_files_of_this_run_alone_are_removed(self, lake):
        run, other = run_of(lake), run_of(lake, "other")
        waiting = other.stage(SQL, *PLAN, parameters={"v": 9})
        run.stage(SQL, *PLAN, parameters={"v": 1})  # of a try that was killed
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        assert run.publish(pieces)["left_over"] == 4
        assert parquet_files(run.prefix) == {piece["path"] for piece in pieces}
        other.publish(waiting)
        assert rows(lake) == all_of(9)
        # What an earlier version knows is kept for those who look at it.
        assert run.publish(pieces)["left_over"] == 0
        assert parquet_files(run.prefix) == {piece["path"] for piece in pieces}

    def test_several_files_of_a_partition_are_published_and_replaced_together(self, lake):
        many = SQL.replace("range(3)", "range(5000)")
        run, counted = run_of(lake), "SELECT v, count(*), count(DISTINCT n), sum(n) FROM t GROUP BY 1"
        run.stage(many, *PLAN, parameters={"v": 1}, **SEVERAL)  # of a try that was killed
        pieces = run.stage(many, *PLAN, parameters={"v": 1}, **SEVERAL)
        assert [[one["rows"] for one in piece["files"]] for piece in pieces] == [[2048, 2048, 904]] * 4
        done = run.publish(pieces)
        assert (done["rows"], done["replaced_files"], done["left_over"]) == (20_000, 4, 12)
        assert rows(lake, counted) == [(1, 20_000, 5000, 4 * 12_497_500)]
        sizes = {str(path): path.stat().st_size for path in Path(run.prefix).rglob("*.parquet")}
        assert sizes == {one["path"]: one["bytes"] for piece in pieces for one in piece["files"]}
        assert row_groups(sizes) == SEVERAL_GROUPS
        assert run.publish(pieces) == {**done, "left_over": 0}
        later = run_of(lake, "later")
        waiting = later.stage(many, *PLAN, parameters={"v": 2}, **SEVERAL)
        Path(waiting[1]["files"][2]["path"]).rename(lake / "aside")
        with pytest.raises(TargetError, match=f"{waiting[1]['files'][2]['path']} is gone, so nothing"):
            later.publish(waiting)
        (lake / "aside").rename(waiting[1]["files"][2]["path"])
        assert later.publish(waiting)["replaced_files"] == 12
        assert rows(lake, counted) == [(2, 20_000, 5000, 4 * 12_497_500)]
        # What it has replaced is an earlier version's, and left over by nobody.
        assert run.publish(pieces)["left_over"] == 0
        assert set(sizes) == parquet_files(run.prefix)

    def test_a_staged_file_that_is_gone_or_another_is_named(self, lake):
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        Path(pieces[1]["path"]).write_bytes(b"PAR1")
        with pytest.raises(TargetError, match="date=2013-01-02/origin=EWR: .* has 4 bytes"):
            run.publish(pieces)
        Path(pieces[1]["path"]).unlink()
        with pytest.raises(TargetError, match=f"{pieces[1]['path']} is gone, so nothing is published. Clear"):
            run.publish(pieces)
        assert rows(lake) == all_of(0)


class TestValues:
    @pytest.mark.parametrize(
        "values",
        [
            ["NULL", None, "null"],
            ["a/b", "a=b", "100%", "é 1", "it's", "%2F", "a b", "a~b", "x\ty", "{{ 1 }}"],
            ["..", "a?b#c", "C:\\x", '"q"', "*[1]", "😀"],
        ],
    )
    def test_partitions_that_deltalake_wrote_are_replaced_whatever_their_values_are(self, tmp_path, values):
        path = tmp_path / "a b"
        write_deltalake(
            str(path),
            pa.table({"k": pa.array(values), "v": [0] * len(values)}),
            partition_by=["k"],
        )
        run = Staging(looked_up("delta", name=str(path)))
        run.publish(run.stage("SELECT 1::BIGINT AS v", *({"k": value} for value in values), unused=["k"]))
        assert rows(path, "SELECT k, v FROM t") == sorted([(value, 1) for value in values], key=repr)
        for value in values:
            where = "k IS NULL" if value is None else "k = '{}'".format(value.replace("'", "''"))
            assert rows(path, f"SELECT v FROM t WHERE {where}") == [(1,)]

    @pytest.mark.parametrize(
        ("kind", "values"),
        [
            (pa.int64(), [1, None, -7]),
            (pa.int8(), [0, 127]),
            (pa.bool_(), [True, False, None]),
            (pa.date32(), ["2013-01-01", None, "0001-01-01"]),
        ],
    )
    def test_partitions_of_any_type_are_found_again(self, tmp_path, kind, values):
        path = new_table(tmp_path / "t", pa.schema([("k", kind), ("v", pa.int32())]), ["k"])
        for v in range(2):
            run = Staging(looked_up("delta", name=str(path)), f"run {v}")
            partitions = [{"k": value} for value in values]
            sql = "SELECT $v::INTEGER AS v"
            run.publish(run.stage(sql, *partitions, parameters={"v": v}, unused=["k"]))
        assert rows(path, "SELECT CAST(k AS VARCHAR) AS k, v FROM t") == sorted(
            [(None if value is None else str(value).lower(), 1) for value in values], key=repr
        )

    def test_two_pieces_that_are_one_partition_are_refused(self, lake):
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN[:2], parameters={"v": 1})
        pieces[1]["partition"] = {"origin": "EWR", "date": "2013-1-1"}
        with pytest.raises(TargetError, match="are the same one of the Delta table"):
            run.publish(pieces)

    def test_every_type_comes_back_as_it_was(self, tmp_path):
        schema = pa.schema(
            [
                ("p", pa.string()),
                ("l", pa.int64()),
                ("i", pa.int32()),
                ("s", pa.int16()),
                ("b", pa.int8()),
                ("f", pa.float32()),
                ("d", pa.float64()),
                ("t", pa.bool_()),
                ("y", pa.binary()),
                ("day", pa.date32()),
                ("ts", pa.timestamp("us", "UTC")),
                ("tn", pa.timestamp("us")),
                ("c", pa.decimal128(20, 5)),
                ("m", pa.decimal128(38, 0)),
                ("a", pa.list_(pa.int32())),
                ("o", pa.struct([("x", pa.int32()), ("B c", pa.list_(pa.string()))])),
                ("w", pa.map_(pa.string(), pa.int64())),
            ]
        )
        path = new_table(tmp_path / "t", schema, ["p"])
        sql = f"""
            SELECT (-9223372036854775808)::BIGINT AS l, (-2147483648)::INTEGER AS i, (-32768)::SMALLINT AS s,
                (-128)::TINYINT AS b,
                0.1::FLOAT AS f, 0.1::DOUBLE AS d, true AS t, '\\x00\\xFF'::BLOB AS y, DATE '1582-10-15' AS day,
                TIMESTAMPTZ '2013-01-02 03:04:05.678901+00' AS ts, TIMESTAMP '2013-01-02 03:04:05.678901' AS tn,
                -123456789012345.67891::DECIMAL(20, 5) AS c,
                99999999999999999999999999999999999999::DECIMAL(38, 0) AS m,
                [1, NULL]::INTEGER[] AS a, {{'x': 1, 'B c': ['é', NULL]}} AS o, MAP {{'k': 1::BIGINT, 'n': NULL}} AS w
            WHERE $p = 'a'
            UNION ALL SELECT {", ".join(["NULL"] * 16)}
        """
        run = Staging(looked_up("delta", name=str(path)))
        run.publish(run.stage(sql, {"p": "a"}))
        table = (
            QueryBuilder()
            .register("t", DeltaTable(str(path)))
            .execute("SELECT * FROM t ORDER BY l")
            .read_all()
        )
        read = [{name: table[name].to_pylist()[number] for name in table.schema.names} for number in (0, 1)]
        full, empty = sorted(read, key=lambda row: row["l"] is None)
        assert empty == {**dict.fromkeys(full), "p": "a"}
        assert full == {
            "p": "a",
            "l": -(2**63),
            "i": -(2**31),
            "s": -(2**15),
            "b": -(2**7),
            "f": pytest.approx(0.1),
            "d": 0.1,
            "t": True,
            "y": b"\x00\xff",
            "day": datetime.date(1582, 10, 15),
            "ts": datetime.datetime(2013, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc),
            "tn": datetime.datetime(2013, 1, 2, 3, 4, 5, 678901),
            "c": decimal.Decimal("-123456789012345.67891"),
            "m": decimal.Decimal(10**38 - 1),
            "a": [1, None],
            "o": {"x": 1, "B c": ["é", None]},
            "w": full["w"],
        }
        assert dict(full["w"]) == {"k": 1, "n": None}

    def test_a_required_column_has_to_have_a_value(self, tmp_path):
        schema = pa.schema([("p", pa.string()), pa.field("v", pa.int32(), nullable=False)])
        run = Staging(looked_up("delta", name=str(new_table(tmp_path / "t", schema, ["p"]))))
        with pytest.raises(AirflowFailException, match="it has to have a value: select it"):
            run.stage("SELECT $p AS p", {"p": "a"})
        with pytest.raises(AirflowFailException, match="v=NULL, and the table requires a value"):
            run.stage("SELECT NULL::INTEGER AS v WHERE $p = 'a'", {"p": "a"})


class TestInBetween:
    """Somebody else commits between the plan and the commit."""

    @pytest.fixture
    def between(self, monkeypatch):
        """Return a function that has something done once, right before the commit."""

        def do(what):
            commit = DeltaTable.create_write_transaction
            waiting = [what]

            def committing(self, *args, **kwargs):
                if waiting:
                    waiting.pop()()
                return commit(self, *args, **kwargs)

            monkeypatch.setattr(DeltaTable, "create_write_transaction", committing)

        return do

    def test_an_append_to_the_same_partition_is_replaced_too(self, lake, between):
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        between(lambda: appended(lake, "EWR", DAYS[0], 6))
        assert run.publish(pieces)["replaced_files"] == 5
        assert rows(lake) == all_of(1)

    def test_an_append_to_an_empty_partition_is_replaced_too(self, lake, between):
        new = {"origin": "LGA", "date": DAYS[0]}
        run = run_of(lake)
        pieces = run.stage(SQL, new, parameters={"v": 1})
        between(lambda: appended(lake, "LGA", DAYS[0], 6))
        assert run.publish(pieces)["replaced_files"] == 1
        assert rows(lake) == sorted(all_of(0) + all_of(1, [new]), key=repr)

    def test_an_append_to_another_partition_stays(self, lake, between):
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        between(lambda: appended(lake, "LGA", DAYS[0], 6))
        run.publish(pieces)
        assert rows(lake) == sorted([*all_of(1), ("LGA", DAYS[0], 6, 1)], key=repr)

    @pytest.mark.parametrize(
        "change",
        [
            lambda table: table.delete("origin = 'EWR'"),
            lambda table: table.update(predicate="origin = 'EWR'", updates={"v": "7"}),
            lambda table: table.optimize.compact(),
        ],
        ids=["delete", "update", "compaction"],
    )
    def test_a_rewrite_is_planned_anew(self, lake, between, change):
        appended(lake, "EWR", DAYS[0], 6)
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        between(lambda: change(DeltaTable(str(lake))))
        run.publish(pieces)
        assert rows(lake) == all_of(1)

    def test_an_answer_that_was_lost_is_no_reason_to_publish_twice(self, lake, monkeypatch):
        commit = DeltaTable.create_write_transaction
        failures = iter([OSError("connection reset by peer")])

        def committing(self, *args, **kwargs):
            commit(self, *args, **kwargs)
            for error in failures:
                raise error

        monkeypatch.setattr(DeltaTable, "create_write_transaction", committing)
        run, before = run_of(lake), DeltaTable(str(lake)).version()
        assert run.publish(run.stage(SQL, *PLAN, parameters={"v": 1}))["snapshot"] == before + 1
        assert DeltaTable(str(lake)).version() == before + 1

    def test_who_never_gets_through_publishes_nothing_and_keeps_what_is_staged(self, lake, monkeypatch):
        monkeypatch.setattr(publishing, "_LONGEST_WAIT", 0.01)
        commit = DeltaTable.create_write_transaction

        def committing(self, *args, **kwargs):
            appended(lake, "LGA", DAYS[0], 6)
            return commit(self, *args, **kwargs)

        monkeypatch.setattr(DeltaTable, "create_write_transaction", committing)
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        with pytest.raises(AirflowException, match="none of 10 commits went through, .* run this task again"):
            run.publish(pieces)
        monkeypatch.undo()
        assert set(all_of(0)) <= set(rows(lake))
        run.publish(pieces)
        assert set(all_of(1)) <= set(rows(lake))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda path: DeltaTable(path).alter.add_columns(_field("late", "string")), None),
            (
                lambda path: DeltaTable(path).alter.set_table_properties({"delta.appendOnly": "true"}),
                "appendOnly",
            ),
            (lambda path: DeltaTable(path).alter.add_constraint({"positive": "v >= 0"}), "constraint"),
            (
                lambda path: write_deltalake(
                    path,
                    pa.table({"origin": ["a"], "date": ["x"], "v": ["x"]}),
                    mode="overwrite",
                    schema_mode="overwrite",
                ),
                "n is gone; date was DATE and is VARCHAR",
            ),
            (
                lambda path: DeltaTable.create(path, SCHEMA, mode="overwrite", partition_by=["origin"]),
                "it is partitioned by origin|it is another table of that name",
            ),
        ],
        ids=["column added", "append only", "constraint", "columns changed", "made anew"],
    )
    def test_a_table_that_changed_is_refused_unless_what_is_staged_still_fits(
        self, lake, between, change, said
    ):
        run = run_of(lake)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        between(lambda: change(str(lake)))
        if said is None:
            run.publish(pieces)
            assert rows(lake) == all_of(1)
            return
        with pytest.raises(TargetError, match=said):
            run.publish(pieces)


def _field(name, kind):
    from deltalake.schema import Field, PrimitiveType

    return Field(name, PrimitiveType(kind))


class TestKilled:
    @pytest.mark.parametrize(
        ("step", "v"),
        [
            ("before look", 0),
            ("before commit", 0),
            ("after commit", 1),
            ("before clean", 1),
            ("after clean", 1),
        ],
    )
    def test_all_is_old_or_all_new_and_the_next_try_leaves_nothing_over(self, lake, step, v):
        run, before = run_of(lake), DeltaTable(str(lake)).version()
        run.stage(SQL, *PLAN, parameters={"v": 7})  # of tries that were killed
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        assert publish_killed("delta", run, pieces, step) == -signal.SIGKILL
        assert rows(lake) == all_of(v)
        run.publish(pieces)
        assert rows(lake) == all_of(1)
        assert DeltaTable(str(lake)).version() == before + 1
        assert parquet_files(run.prefix) == {piece["path"] for piece in pieces}

    def test_what_an_instance_was_writing_when_it_was_killed_is_no_data_and_goes(self, lake):
        run = run_of(lake)
        many = SQL.replace("$v::INTEGER", "7::INTEGER").replace(
            "unnest(range(3))", "(hash(range) >> 1)::BIGINT"
        )
        for left, size in enumerate((1, 2**22), 1):
            there = sum(path.stat().st_size for path in Path(run.prefix).rglob("*") if path.is_file())
            assert stage_killed(run, f"{many} FROM range(3000000)", PLAN[0], there + size) == -signal.SIGKILL
            assert len(parquet_files(run.prefix)) == left
            assert rows(lake) == all_of(0)
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        assert run.publish(pieces)["left_over"] == left
        assert rows(lake) == all_of(1)
        assert parquet_files(run.prefix) == {piece["path"] for piece in pieces}

    def test_two_that_publish_at_once_both_come_through_whole(self, lake):
        one, two = run_of(lake, "one"), run_of(lake, "two")
        staged = [
            (one, one.stage(SQL, *PLAN, parameters={"v": 1})),
            (two, two.stage(SQL, *PLAN, parameters={"v": 2})),
        ]
        threads = [threading.Thread(target=run.publish, args=(pieces,)) for run, pieces in staged]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert rows(lake) in (all_of(1), all_of(2))
        assert sum("mapping-kit.published" in entry for entry in DeltaTable(str(lake)).history(2)) == 2


class TestBadInput:
    def test_a_table_that_does_not_exist_is_told_with_its_neighbours(self, lake):
        with pytest.raises(AirflowFailException, match="no directory with a _delta_log"):
            looked_up("delta", name=__file__)
        with pytest.raises(AirflowFailException, match=r"flight is no Delta table \(near: 'flights'\)"):
            looked_up("delta", name=str(lake.parent / "flight"))

    @pytest.mark.parametrize("name", ["gs://lake/flights", "", "uc://c.s.t"])
    def test_a_place_that_the_kit_does_not_stage_in_is_refused(self, name):
        with pytest.raises(AirflowFailException, match="is no place|can.t be used here"):
            looked_up("delta", name=name)

    def test_a_dimension_has_to_be_a_partition_column(self, lake):
        with pytest.raises(AirflowFailException, match="isn't partitioned by that, but by origin, date"):
            looked_up("delta", name=str(lake), dimensions={"day": "v"})
        with pytest.raises(AirflowFailException, match=r"isn't partitioned by that \(near: 'origin'\)"):
            looked_up("delta", name=str(lake), dimensions={"from": "orign"})
        with pytest.raises(
            AirflowFailException, match=r"lives in day\(date\), and Delta tables are partitioned by"
        ):
            looked_up("delta", name=str(lake), dimensions={"day": "day(date)"})
        run = run_of(lake)
        pieces = run.stage(
            "SELECT DATE '2013-01-01' AS date, 1::INTEGER AS v, 1 AS n, $origin AS origin", {"origin": "EWR"}
        )
        with pytest.raises(TargetError, match="by origin, date, and the plan's dimensions live in origin"):
            run.publish(pieces)
        run = run_of(lake, dimensions={"from": "origin", "day": "date"})
        sql = "SELECT 1::INTEGER AS v, 1 AS n WHERE $from != $day"
        run.publish(run.stage(sql, {"from": "EWR", "day": DAYS[0]}))
        assert ("EWR", DAYS[0], 1, 1) in rows(lake)

    @pytest.mark.parametrize(
        ("by", "said"),
        [([], "isn't partitioned"), (["f"], r"partitioned by f, a FLOAT\. Each engine")],
    )
    def test_partitions_that_cannot_be_told_apart_are_refused(self, tmp_path, by, said):
        path = new_table(tmp_path / "t", pa.schema([("f", pa.float32()), ("v", pa.int32())]), by)
        with pytest.raises(AirflowFailException, match=said):
            looked_up("delta", name=str(path))

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ({"delta.appendOnly": "true"}, "nothing may be replaced"),
            ({"delta.columnMapping.mode": "name"}, "other column names"),
        ],
    )
    def test_what_the_kit_does_not_do_for_a_table_is_refused(self, tmp_path, setting, said):
        path = str(tmp_path / "t")
        write_deltalake(path, pa.table({"k": ["a"], "v": [1]}), partition_by=["k"], configuration=setting)
        with pytest.raises(AirflowFailException, match=said):
            looked_up("delta", name=path)

    def test_a_file_with_a_deletion_vector_is_not_left_beside_its_replacement(self, tmp_path):
        path = tmp_path / "t"
        write_deltalake(
            str(path),
            pa.table({"k": ["a", "a", "b"], "v": [0, 1, 2]}),
            partition_by=["k"],
            configuration={"delta.enableDeletionVectors": "true"},
        )
        log = path / "_delta_log"
        (add,) = (
            entry["add"]
            for line in (log / "00000000000000000000.json").read_text().splitlines()
            if (entry := json.loads(line)).get("add", {}).get("partitionValues") == {"k": "a"}
        )
        # As Spark deletes a row, the first of the file: a bitmap of one number, inline.
        vector = {"storageType": "i", "pathOrInlineDv": VECTOR, "sizeInBytes": 34, "cardinality": 1}
        removed = {"path": add["path"], "dataChange": True, "deletionTimestamp": 1, "size": add["size"]}
        lines = [{"remove": removed}, {"add": {**add, "deletionVector": vector}}]
        (log / "00000000000000000001.json").write_text("\n".join(map(json.dumps, lines)))
        assert rows(path, "SELECT k, v FROM t") == [("a", 1), ("b", 2)]
        run = Staging(looked_up("delta", name=str(path)))
        pieces = run.stage("SELECT $k AS k, 9::BIGINT AS v", {"k": "a"}, {"k": "b"})
        with pytest.raises(
            TargetError, match=r"partition a were deleted by a deletion vector(.|\n)*: purge it"
        ):
            run.publish(pieces)
        run.publish(pieces[1:])
        assert rows(path, "SELECT k, v FROM t") == [("a", 1), ("b", 9)]


def _vector():
    """Return the bitmap that marks row 0 as a log has it: Z85 of a serialized RoaringTreemap."""
    import struct

    # The magic number, one bitmap of the high bits 0: a portable Roaring bitmap of one array container with a 0.
    bitmap = struct.pack("<IIHHIH", 12346, 1, 0, 0, 16, 0)
    data = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    data += b"\x00" * (-len(data) % 4)
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    text = ""
    for (number,) in struct.iter_unpack(">I", data):
        text += "".join(alphabet[number // 85**place % 85] for place in (4, 3, 2, 1, 0))
    return text


VECTOR = _vector()


class TestS3:
    @pytest.fixture
    def uri(self, s3_bucket, s3_conn):
        from airflow_mapping_kit.tables.delta.opened import _s3_options

        uri = f"s3://{s3_bucket}/lake/flights"
        DeltaTable.create(
            uri, SCHEMA, partition_by=["origin", "date"], storage_options=_s3_options(s3_conn, s3_bucket)
        )
        return uri

    def test_a_run_is_published_once_and_what_is_left_over_is_removed(
        self, uri, s3_client, s3_bucket, s3_conn
    ):
        run = Staging(looked_up("delta", name=uri, aws_conn_id=s3_conn))
        run.stage(SQL, PLAN[0], parameters={"v": 7})
        pieces = run.stage(SQL, *PLAN, parameters={"v": 1})
        assert run.publish(pieces) == {"snapshot": 1, "rows": 12, "replaced_files": 0, "left_over": 1}
        assert run.publish(pieces)["snapshot"] == 1
        keys = [entry["Key"] for entry in s3_client.list_objects_v2(Bucket=s3_bucket)["Contents"]]
        staged = {f"s3://{s3_bucket}/{key}" for key in keys if key.endswith(".parquet")}
        assert staged == {piece["path"] for piece in pieces}

    def test_two_that_publish_at_once_both_come_through(self, uri, s3_conn):
        from airflow_mapping_kit.tables.delta.opened import opened

        table = looked_up("delta", name=uri, aws_conn_id=s3_conn)
        runs = [Staging(table, str(number)) for number in range(3)]
        staged = [(run, run.stage(SQL, *PLAN, parameters={"v": v})) for v, run in enumerate(runs)]
        threads = [threading.Thread(target=run.publish, args=(pieces,)) for run, pieces in staged]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        now = opened(uri, s3_conn)
        assert now.version() == 3
        read = (
            QueryBuilder().register("t", now).execute("SELECT v, count(*) AS n FROM t GROUP BY 1").read_all()
        )
        assert read["n"].to_pylist() == [12]

    def test_what_s3_refuses_is_said(self, s3_conn):
        with pytest.raises(AirflowFailException, match="NoSuchBucket .* check the bucket's name"):
            looked_up("delta", name="s3://no-such-bucket-of-ours/flights", aws_conn_id=s3_conn)

    def test_credentials_do_not_become_an_xcom(self, uri, s3_conn):
        with pytest.raises(AirflowFailException, match="put credentials into the Airflow connection"):
            looked_up("delta", name=uri, storage_options={"AWS_SECRET_ACCESS_KEY": "x"})
        table = looked_up("delta", name=uri, aws_conn_id=s3_conn)
        assert "zyzzyva" not in json.dumps(table)
