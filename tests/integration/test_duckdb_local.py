"""DuckDBPartitionOperator on a local directory, with real flights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pendulum
import pytest

import airflows
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.partitions import parse_partition_key, product
from airflows import AIRFLOW_3, DAG, AirflowException, AirflowFailException, AirflowSkipException
from instances import INSTANCE

SOURCE = str(Path(__file__).parents[2] / "include" / "data" / "flights-2013-01.csv.gz")
COLUMNS = {
    **dict.fromkeys(
        ["year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time"], "INTEGER"
    ),
    **dict.fromkeys(["sched_arr_time", "arr_delay"], "INTEGER"),
    "carrier": "VARCHAR",
    "flight": "INTEGER",
    "tailnum": "VARCHAR",
    "origin": "VARCHAR",
    "dest": "VARCHAR",
    **dict.fromkeys(["air_time", "distance", "hour", "minute"], "INTEGER"),
    "time_hour": "TIMESTAMP",
}
NAMES = ", ".join([*COLUMNS, "date"])
FLIGHTS = (
    f"SELECT *, make_date(year, month, day) AS date FROM read_csv($source, auto_detect = false, header = true, "
    f"delim = ',', nullstr = 'NA', columns = {COLUMNS}) "
)
ONE_DAY = f"{FLIGHTS} WHERE origin = $origin AND make_date(year, month, day) = $date::DATE"
EWR = {"origin": "EWR", "date": "2013-01-02"}
EWR_KEY = "date=2013-01-02/origin=EWR"
# One row for any partition {"p": ...}; `parameters` may leave it out.
ROW = "SELECT $p AS value, 1 AS n"


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def publish(lake):
    """Return a function that runs the operator with `lake` as its target."""

    def run(sql, partition, **arguments):
        given = {"sql": sql, "partition": partition, "target": str(lake), **arguments}
        with DAG("lake", schedule=None):
            operator = DuckDBPartitionOperator(task_id="load", **given)
        return operator.execute({"ti": INSTANCE, "task": operator})

    return run


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if not path.is_dir())


def rows(path):
    return duckdb.sql(f"FROM read_parquet('{path}', hive_partitioning = false)").fetchall()


class TestFlights:
    def test_each_partition_holds_the_rows_of_its_origin_and_day(self, publish, lake):
        plan = product(origin=["EWR", "JFK", "LGA"], date=[f"2013-01-{day:02}" for day in range(1, 32)])
        results = publish(ONE_DAY, plan, parameters={"source": SOURCE})
        assert [parse_partition_key(result["key"]) for result in results] == plan
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE source AS {FLIGHTS}", {"source": SOURCE})
            connection.execute(
                f"CREATE VIEW stored AS FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true)"
            )
            for one, other in (("source", "stored"), ("stored", "source")):
                missing = f"SELECT {NAMES} FROM {one} EXCEPT ALL SELECT {NAMES} FROM {other}"
                assert connection.execute(missing).fetchall() == []
            assert connection.execute("SELECT count(*) FROM stored").fetchone() == (27_004,)
        assert sum(result["rows"] for result in results) == 27_004
        assert files(lake) == sorted(f"{result['key']}/data_0.parquet" for result in results)

    def test_the_result_says_where_and_how_much(self, publish, lake, caplog, capsys):
        result = publish(ONE_DAY, EWR, parameters={"source": SOURCE})
        path = f"{lake}/{EWR_KEY}/data_0.parquet"
        assert result == {"key": EWR_KEY, "path": path, "rows": 350, "bytes": Path(path).stat().st_size}
        assert json.loads(json.dumps(result)) == result
        assert (
            f"Published {EWR_KEY}: 350 rows, {result['bytes']} bytes in "
            in caplog.text + capsys.readouterr().out
        )

    def test_dimensions_are_in_the_path_and_not_in_the_file(self, publish):
        result = publish(ONE_DAY, EWR, parameters={"source": SOURCE})
        names = duckdb.sql(f"FROM read_parquet('{result['path']}', hive_partitioning = false)").columns
        assert sorted(names) == sorted(set(COLUMNS) - {"origin"})

    def test_running_again_changes_nothing(self, publish, lake):
        first = publish(ONE_DAY, EWR, parameters={"source": SOURCE})
        before = rows(first["path"])
        assert publish(ONE_DAY, EWR, parameters={"source": SOURCE}) == first
        assert rows(first["path"]) == before
        assert files(lake) == [f"{EWR_KEY}/data_0.parquet"]


class TestPublishing:
    def test_what_was_there_is_replaced_by_zero_rows_where_that_is_said(self, publish, lake):
        publish(ROW, {"p": "a"})
        result = publish(f"{ROW} WHERE false", {"p": "a"}, on_empty="replace")
        assert (result["rows"], rows(result["path"])) == (0, [])
        assert duckdb.sql(f"FROM '{result['path']}'").columns == ["value", "n", "p"]
        assert files(lake) == ["p=a/data_0.parquet"]

    def test_on_empty_skip_leaves_what_is_there(self, publish, lake):
        path = publish(ROW, {"p": "a"})["path"]
        with pytest.raises(AirflowSkipException, match="partition p=a has no rows: left as it is"):
            publish(f"{ROW} WHERE false", {"p": "a"}, on_empty="skip")
        assert rows(path) == [("a", 1)]
        assert files(lake) == ["p=a/data_0.parquet"]

    def test_no_rows_fail_at_once_and_leave_what_is_there(self, publish, lake):
        path = publish(ROW, {"p": "a"})["path"]
        with pytest.raises(
            AirflowFailException,
            match="partition p=a: the query found no rows, so it is left as it is .*check the source",
        ):
            publish(f"{ROW} WHERE false", {"p": "a"})
        assert rows(path) == [("a", 1)]
        assert files(lake) == ["p=a/data_0.parquet"]

    def test_a_query_that_fails_half_way_leaves_what_is_there(self, publish, lake):
        path = publish(ROW, {"p": "a"})["path"]
        failing = "SELECT IF(range < 400000, range, error('half way')) AS n FROM range(500000) WHERE $p = 'a'"
        with pytest.raises(AirflowException, match="partition p=a: DuckDB failed; .*half way"):
            publish(failing, {"p": "a"})
        assert rows(path) == [("a", 1)]
        assert files(lake) == ["p=a/data_0.parquet"]

    def test_neighbours_and_nested_partitions_are_not_touched(self, publish, lake):
        publish(ROW, {"p": "a"})
        for other in (
            "p=a/q=1/data_0.parquet",
            "p=a/q=1/old.parquet",
            "p=ab/old.parquet",
            "old.parquet",
            "p=a/notes.txt",
        ):
            path = lake / other
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"other")
        (lake / "p=a" / "directory.parquet").mkdir()
        before = files(lake)
        publish(ROW, {"p": "a"})
        assert files(lake) == before
        assert (lake / "p=a" / "directory.parquet").is_dir()
        assert (lake / "p=a/q=1/old.parquet").read_bytes() == b"other"

    def test_files_of_other_tools_in_the_partition_are_replaced_too(self, publish, lake):
        folder = lake / "p=a"
        folder.mkdir(parents=True)
        elsewhere = lake / "elsewhere"
        elsewhere.write_bytes(b"kept")
        (folder / "part-0001.parquet").write_bytes(b"foreign")
        (folder / "link.parquet").symlink_to(elsewhere)
        publish(ROW, {"p": "a"})
        assert files(lake) == ["elsewhere", "p=a/data_0.parquet"]

    def test_partition_by_orders_the_directories(self, publish, lake):
        result = publish("SELECT 1 AS n WHERE $a = $b", {"a": 1, "b": 1}, partition_by=["b", "a"])
        assert result["key"] == "a=1/b=1"
        assert result["path"] == f"{lake}/b=1/a=1/data_0.parquet"

    @pytest.mark.parametrize(
        "value",
        [
            "it's",
            '"',
            "a/b",
            "..",
            "../../x",
            "a=b",
            "100%",
            "%2F",
            "a\nb",
            "{{ 1 + 1 }}",
            "é😀",
            "*?[a]",
            "\\",
            "x" * 250,
        ],
    )
    def test_strange_values_stay_inside_the_target_and_come_back_from_the_path(
        self, publish, lake, tmp_path, value
    ):
        result = publish(ROW, {"p": value})
        assert rows(result["path"]) == [(value, 1)]
        assert [path.name for path in tmp_path.iterdir()] == ["lake"]
        (folder,) = lake.iterdir()
        assert parse_partition_key(folder.name) == {"p": value}

    def test_the_text_null_is_read_back_as_text_in_any_case(self, publish, lake):
        texts = ["NULL", "null", "Null", "EWR"]
        for text in texts:
            publish(ROW, {"p": text})
        stored = f"read_parquet('{lake}/**/*.parquet', hive_partitioning = true)"
        read = duckdb.sql(f"SELECT value, p FROM {stored}").fetchall()
        assert sorted(read) == sorted((text, text) for text in texts)
        # As Hive and Spark read a directory's name.
        assert sorted(unquote(path.name) for path in lake.iterdir()) == sorted(f"p={text}" for text in texts)

    def test_nothing_is_left_in_the_scratch_folder(self, publish, tmp_path, monkeypatch):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__SCRATCH_FOLDER", str(scratch))
        # Sorting 24 MB within 16 MiB has to use the scratch folder.
        sql = "SELECT hash(range) AS h, $p AS x FROM range(3000000) ORDER BY h"
        assert publish(sql, {"p": "a"}, memory_limit="16MiB")["rows"] == 3_000_000
        assert list(scratch.iterdir()) == []


class TestBatch:
    def test_each_partition_is_published_in_order(self, publish, lake):
        results = publish(ROW, [{"p": "b"}, {"p": "a"}])
        assert [result["key"] for result in results] == ["p=b", "p=a"]
        assert files(lake) == ["p=a/data_0.parquet", "p=b/data_0.parquet"]

    def test_one_that_fails_loses_none_of_the_others_and_the_error_names_both(self, publish, lake):
        sql = "SELECT $p::INTEGER AS n"
        with pytest.raises(
            AirflowFailException,
            match=r"1 of 3 partitions failed: p=x\. Published: p=1, p=2\. The first error: partition p=x: .*'x'",
        ):
            publish(sql, [{"p": "1"}, {"p": "x"}, {"p": "2"}])
        assert files(lake) == ["p=1/data_0.parquet", "p=2/data_0.parquet"]

    def test_one_that_may_pass_lets_the_task_retry(self, publish, tmp_path):
        duckdb.sql(f"COPY (SELECT 1 AS n) TO '{tmp_path}/there.parquet'")
        with pytest.raises(
            AirflowException, match=r"1 of 2 partitions failed: p=gone\. Published: p=there\."
        ) as caught:
            publish(
                "FROM read_parquet($folder || $p || '.parquet')",
                [{"p": "there"}, {"p": "gone"}],
                parameters={"folder": f"{tmp_path}/"},
            )
        assert not isinstance(caught.value, AirflowFailException)

    def test_bad_input_in_one_stops_the_batch_before_any_work(self, publish, lake):
        with pytest.raises(AirflowFailException, match="partition q=1: the query asks for \\$p"):
            publish(ROW, [{"p": "a"}, {"q": 1}])
        assert not lake.exists()

    def test_the_same_partition_twice_is_refused(self, publish, lake):
        with pytest.raises(AirflowFailException, match="the same key 'p=1'"):
            publish(ROW, [{"p": 1}, {"p": "1"}])
        assert not lake.exists()

    def test_empty_partitions_are_left_out_of_the_result(self, publish):
        sql = "SELECT 1 AS n WHERE $p > 1"
        assert [result["key"] for result in publish(sql, [{"p": 1}, {"p": 2}], on_empty="skip")] == ["p=2"]
        with pytest.raises(AirflowSkipException, match="no partition of the batch has rows"):
            publish(sql, [{"p": 0}, {"p": 1}], on_empty="skip")

    def test_an_empty_list_skips(self, publish, lake):
        with pytest.raises(AirflowSkipException, match="the list of partitions is empty"):
            publish(ROW, [])
        assert not lake.exists()


class TestBadInput:
    @pytest.mark.parametrize("partition", ["p=a", 7, None, b"p"])
    def test_what_is_no_partition_is_named(self, publish, lake, partition):
        with pytest.raises(AirflowFailException, match=rf"partition is {partition!r}: pass a dict such as"):
            publish(ROW, partition)
        assert not lake.exists()

    @pytest.mark.parametrize("partition", [{}, {"p": ""}, {"p": [1]}, {"p": float("nan")}, ["a"]])
    def test_a_partition_without_a_key_is_refused(self, publish, lake, partition):
        with pytest.raises(AirflowFailException):
            publish(ROW, partition)
        assert not lake.exists()

    def test_partition_by_names_the_dimensions(self, publish, lake):
        with pytest.raises(
            AirflowFailException, match=r"partition_by=\['q'\] has to name each of its dimensions \(p\) once"
        ):
            publish(ROW, {"p": "a"}, partition_by=["q"])
        assert not lake.exists()

    def test_a_directory_name_over_255_bytes_is_refused_with_both_numbers(self, publish, lake):
        with pytest.raises(
            AirflowFailException, match=r"takes 302 bytes, and file systems take 255: shorten the value"
        ):
            publish(ROW, {"p": "é" * 150})
        assert not lake.exists()

    @pytest.mark.parametrize("target", ["", "hdfs://bucket/lake", "s3a://bucket", 7, None])
    def test_a_target_that_is_no_place_is_refused(self, publish, target):
        with pytest.raises(
            AirflowFailException, match=f"target={target!r} is no place: write a directory, s3://"
        ):
            publish(ROW, {"p": "a"}, target=target)

    @pytest.mark.parametrize(
        ("target", "reason"),
        [("/proc/lake", "No such file or directory"), ("{tmp_path}/file/lake", "Not a directory")],
    )
    def test_a_target_that_cannot_be_written_is_named(self, publish, tmp_path, target, reason):
        (tmp_path / "file").write_text("a file")
        target = target.format(tmp_path=tmp_path)
        with pytest.raises(
            AirflowFailException, match=rf"partition p=a: can't write to '{target}/p=a': {reason}\. Check"
        ):
            publish(ROW, {"p": "a"}, target=target)
        assert (tmp_path / "file").read_text() == "a file"

    def test_a_missing_source_is_named_before_anything_is_written(self, publish, lake):
        with pytest.raises(
            AirflowException, match=rf"partition {EWR_KEY}: .*check that the sources exist.*gone\.csv"
        ):
            publish(ONE_DAY, EWR, parameters={"source": "/gone.csv"})
        assert not lake.exists()

    def test_a_missing_cast_is_hinted_before_anything_is_written(self, publish, lake):
        sql = ONE_DAY.replace("make_date(year, month, day) = $date::DATE", "month(time_hour) = month($date)")
        with pytest.raises(AirflowFailException, match=r"(?s)partition .*write \$date::DATE where"):
            publish(sql, EWR, parameters={"source": SOURCE})
        assert not lake.exists()

    def test_rows_of_another_partition_are_refused_and_nothing_is_published(self, publish, lake):
        with pytest.raises(
            AirflowFailException, match=f"partition {EWR_KEY}: the query returned a row with origin=(JFK|LGA)"
        ):
            publish(ONE_DAY.replace("origin = $origin", "$origin <> ''"), EWR, parameters={"source": SOURCE})
        assert files(lake) == []

    def test_a_scratch_folder_that_is_not_there_is_named(self, publish, lake, monkeypatch):
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__SCRATCH_FOLDER", "/gone")
        with pytest.raises(
            AirflowFailException, match=r"can't use '/gone' for temporary files: .*scratch_folder to a folder"
        ):
            publish(ROW, {"p": "a"})
        assert not lake.exists()

    def test_a_query_over_its_memory_limit_says_so(self, publish, lake):
        with pytest.raises(AirflowException, match="partition p=a: the query needs more than memory_limit"):
            publish(
                "SELECT list(md5(range::VARCHAR)) AS all_of_them, $p AS x FROM range(3000000)",
                {"p": "a"},
                memory_limit="32MiB",
            )
        assert files(lake) == []


def test_a_timeout_or_a_kill_ends_a_long_query_and_nothing_more_is_published(tmp_path):
    """What a signal's handler raises inside DuckDB has to arrive as it is; on Airflow 3 `on_kill` raises alone."""
    code = """
import os, signal, sys, threading
from pathlib import Path
from types import SimpleNamespace
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflows import AIRFLOW_3, DAG, AirflowException, AirflowTaskTerminated, AirflowTaskTimeout

# The first partition has one row at once, the others none for hours.
SQL = 'SELECT sum(a.range * b.range) AS n FROM range($p * 1000000) a, range(1000000) b'

def on_alarm(*_):
    raise AirflowTaskTimeout('too long')

def on_term(*_):
    operator.on_kill()
    if not AIRFLOW_3:
        raise AirflowTaskTerminated('killed')

def once_published():
    while not (target / 'p=0' / 'data_0.parquet').exists():
        threading.Event().wait(0.01)
    os.kill(os.getpid(), number)

INSTANCE = SimpleNamespace(
    test_mode=True, dag_id='none', task_id='load', run_id='run', map_index=-1, try_number=1, max_tries=0
)
ended = []
for number, handler in ((signal.SIGALRM, on_alarm), (signal.SIGTERM, on_term)):
    target = Path(sys.argv[1]) / number.name
    with DAG('lake', schedule=None):
        operator = DuckDBPartitionOperator(
            task_id='load', sql=SQL, partition=[{'p': p} for p in range(3)], target=str(target)
        )
    signal.signal(number, handler)
    threading.Thread(target=once_published).start()
    try:
        operator.execute({'ti': INSTANCE, 'task': operator})
    except (AirflowException, AirflowTaskTerminated, AirflowTaskTimeout) as error:
        ended.append(repr(error))
print(*ended, sep='\\n')
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(airflows.__file__).parent)},
        check=True,
        capture_output=True,
        text=True,
        timeout=180,
    )
    ended = (
        "AirflowException('load was told to end: it has stopped its query and publishes nothing more.')"
        if AIRFLOW_3
        else "AirflowTaskTerminated('killed')"
    )
    assert done.stdout.splitlines()[-2:] == ["AirflowTaskTimeout('too long')", ended]
    # A temporary file may be left where the signal came just when it was made; the next try removes it.
    published = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")]
    assert sorted(published) == ["SIGALRM/p=0/data_0.parquet", "SIGTERM/p=0/data_0.parquet"]


def test_a_big_result_stays_within_the_memory_limit(lake):
    code = (
        "import re, sys\n"
        "from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator\n"
        "SQL = '''SELECT md5(range::VARCHAR) AS a, md5((range + 1)::VARCHAR) AS b\n"
        "    FROM range($rows) WHERE $p = 1 ORDER BY a'''\n"
        "def peak(rows):\n"
        "    DuckDBPartitionOperator(task_id='load', sql=SQL, partition={'p': 1}, parameters={'rows': rows},\n"
        "                            target=sys.argv[1], memory_limit=sys.argv[2]).execute({})\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) // 1024\n"
        "print(-peak(1) + peak(800000))\n"
    )

    def peak_mib(memory_limit):
        command = [sys.executable, "-c", code, str(lake), memory_limit]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)
        assert duckdb.sql(f"SELECT count(*) FROM '{lake}/p=1/*.parquet'").fetchone() == (800_000,)
        return int(done.stdout.splitlines()[-1])

    # Sorting 800,000 rows of 64 bytes; 64 MiB more than the limit are for allocators and the Parquet writer.
    unlimited, limited = peak_mib("1GiB"), peak_mib("48MiB")
    assert limited < 48 + 64 < unlimited


# The day of New York that has 25 hours: 04:00 of UTC until 05:00 of the next day.
HOURS = """
    SELECT ts::{kind} AS ts
    FROM range(TIMESTAMPTZ '2024-11-02 20:00:00+00', TIMESTAMPTZ '2024-11-05 10:00:00+00', INTERVAL 1 HOUR) moments(ts)
    WHERE ts::{kind} >= $start AND ts::{kind} < $end
"""


@pytest.mark.parametrize(
    ("kind", "partition", "arguments", "rows"),
    [
        ("TIMESTAMPTZ", {"date": "2024-11-03"}, {}, 25),
        ("TIMESTAMPTZ", {"date": "2024-11-03"}, {"timezone": "UTC"}, 24),
        ("TIMESTAMP", {"date": "2024-11-03"}, {}, 25),
        ("DATE", {"date": "2024-11-03"}, {}, 25),
        ("TIMESTAMPTZ", {"day": "2024-11-04"}, {"date_dimension": "day"}, 24),
        ("TIMESTAMPTZ", {"date": "2024-11-03T01-0500"}, {}, 1),
        ("TIMESTAMPTZ", {"date": "2024-11-03T01:30-0400"}, {"every": "30 1 * * *"}, 25),
    ],
)
def test_start_and_end_are_those_of_the_period_on_the_clock_of_the_dag(
    lake, kind, partition, arguments, rows
):
    start = pendulum.datetime(2024, 1, 1, tz="America/New_York")
    with DAG("lake", schedule=None, start_date=start) as dag:
        operator = DuckDBPartitionOperator(
            task_id="load", sql=HOURS.format(kind=kind), partition=partition, target=str(lake), **arguments
        )
    assert operator.execute({"ti": INSTANCE, "task": operator, "dag": dag})["rows"] == rows


@pytest.mark.parametrize(
    ("hours", "first"), [(1, "2024-11-02 23:00"), (-8, "2024-11-03 08:00"), (0, "2024-11-03 00:00")]
)
def test_the_clock_of_a_dag_can_be_a_fixed_offset(lake, hours, first):
    start = pendulum.datetime(2024, 1, 1, tz=pendulum.FixedTimezone(hours * 3600))
    with DAG("lake", schedule=None, start_date=start) as dag:
        operator = DuckDBPartitionOperator(
            task_id="load",
            sql="SELECT $start::TIMESTAMPTZ AT TIME ZONE 'UTC' AS first, $start::DATE AS day",
            partition={"date": "2024-11-03"},
            target=str(lake),
        )
    operator.execute({"ti": INSTANCE, "task": operator, "dag": dag})
    query = f"SELECT strftime(first, '%Y-%m-%d %H:%M'), day::VARCHAR FROM '{lake}/*/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(first, "2024-11-03")]


@pytest.mark.parametrize(
    ("partition", "arguments", "message"),
    [
        (
            {"day": "2024-11-03"},
            {},
            "it has no dimension 'date': say which one is the period, date_dimension=",
        ),
        (
            {"date": "EWR"},
            {},
            "the start of the period in 'date': the period key 'EWR' is no key of a period",
        ),
        ({"date": None}, {}, "the period key None is no key of a period"),
        ({"date": "2024-11-03T01:30"}, {}, "doesn't say how long it lasts: say so, such as every='15min'"),
        ({"date": "2024-11-03T01-0500"}, {}, "is no key of an hour in UTC: write it as '2024-11-03T01'"),
    ],
)
def test_a_partition_whose_start_is_not_known_is_named(publish, partition, arguments, message):
    with pytest.raises(AirflowFailException, match=message):
        publish("SELECT 1 AS n WHERE now() > $start", partition, **arguments)
