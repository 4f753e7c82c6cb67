"""`mapping-kit partitions` on a real metadata database: what it says, starts, clears, and makes of bad input."""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import json
import re
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

import pendulum
import pytest
from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from airflow_mapping_kit.cli.program import main
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.partitions import date_range, partition_key, product
from airflows import AIRFLOW_3, DAG, EmptyOperator, create_session, task
from webservers import serving
from written import ORIGINS, Written, at, reloaded

pytestmark = pytest.mark.usefixtures("metadata_db")
DAYS = date_range("2013-01-01", "2013-03-31")
PLAN = product(date=DAYS, origin=ORIGINS)
LATE = {"type": "OSError", "message": "origin=LGA/date=2013-01-02: no such file"}


def load(written, run_id, plan, state_of=lambda _: "success", *, minute=0, state="success"):
    """Write a run of a plan."""
    run = written.run(run_id, started=at(minute), ended=at(minute + 10), state=state)
    written.xcom(run, "reload_partitions", plan, when=at(minute))
    for index, one in enumerate(plan):
        became = state_of(one)
        tries = 2 if became == "failed" else 1
        written.instance(run, "load", index, became, start=at(minute + 1), end=at(minute + 5), tries=tries)
        if became == "failed":
            record = {"key": partition_key(one), "label": "", "try_number": 2, "error": LATE}
            written.xcom(run, "load", record, key="mapping_kit", map_index=index)
    return run


def keep(dag):
    """Store a DAG where the web server has it from."""
    if not AIRFLOW_3:
        SerializedDagModel.write_dag(dag)


@pytest.fixture(scope="module")
def stored(metadata_db):
    """Runs of a quarter: two months, then March without the 20th to the 25th, of which LGA failed in part."""
    written = Written(reloaded("quarter"))
    keep(written.dag)
    load(written, "winter", [one for one in PLAN if one["date"] < "2013-03"])
    late = [
        one for one in PLAN if one["date"] >= "2013-02-25" and not "2013-03-20" <= one["date"] <= "2013-03-25"
    ]

    def became(one):
        return "failed" if one["origin"] == "LGA" and one["date"] < "2013-03-05" else "success"

    load(written, "spring", late, became, minute=60, state="failed")
    written.flush()
    return written


class Said:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def flat(self):
        return " ".join(f"{self.out} {self.err}".split())


@pytest.fixture
def cli(capsys, monkeypatch):
    """Return a function that runs the command, and returns its status, output and errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mapping-kit", "partitions", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Said(end.value.code, said.out, said.err)

    return run


def test_it_says_what_is_not_loaded_where_and_why(stored, cli):
    said = cli("quarter")
    assert (said.status, said.err) == (1, "")
    assert said.out.startswith(
        "quarter, load: 26 of 270 partitions are not loaded, of 4 older data are there\n"
        "244 loaded, 8 failed, 18 missing\n\n"
        "not loaded   #  where\n"
        "failed       8  date=2013-02-25..2013-03-04 origin=LGA\n"
        "missing     18  date=2013-03-20..2013-03-25\n\n"
        "date        origin  state               run     tries  error\n"
        "2013-03-04  LGA     failed              spring      2  OSError: <partition>:"
    )
    assert "2013-02-28  LGA     failed, older data  spring      2  OSError" in said.out
    assert "\n2013-03-25  EWR     missing\n" in said.out
    assert (
        "What went wrong:\n8 × OSError: <partition>: no such file\n  date=2013-02-25..2013-03-04 origin=LGA\n"
    ) in said.out
    assert "--retry runs again what failed, --reload starts what is missing." in said.flat


def test_a_wide_terminal_shows_whole_errors_and_a_narrow_one_all_columns(stored, cli, monkeypatch):
    for width, error in ((200, "OSError: <partition>: no such file"), (40, "OSError")):
        monkeypatch.setenv("COLUMNS", str(width))
        said = cli("quarter", "--state", "failed")
        assert all(len(line) <= width for line in said.out.splitlines())
        assert error in said.out


@pytest.mark.parametrize(
    ("arguments", "status", "states"),
    [
        (["load"], 1, {"loaded": 244, "failed": 8, "missing": 18}),
        (["origin=EWR,JFK date=2013-01-01..2013-02-14"], 0, {"loaded": 90}),
        (["date=2013-03-04", "origin=LGA"], 1, {"failed": 1}),
        (["load", "date=2013-03-04/origin=LGA"], 1, {"failed": 1}),
        (["--select", "lga", "date=2013-02"], 1, {"loaded": 24, "failed": 4}),
        (["--select", "lga", "--select", "2013-02-0"], 0, {"loaded": 9}),
        (["--state", "failed,missing"], 1, {"failed": 8, "missing": 18}),
        (["--state", "not-loaded", "origin=EWR"], 1, {"missing": 6}),
        (["--state", "loaded", "origin=LGA"], 0, {"loaded": 76}),
        (["date=2014"], 1, {}),
        (["date=2013-01", "--state", "failed"], 0, {}),
        (["--run", "spring"], 1, {"loaded": 79, "failed": 8}),
        (["--run", "latest", "date=2013-02-28"], 1, {"loaded": 2, "failed": 1}),
        (["--runs", "1"], 1, {"loaded": 79, "failed": 8, "missing": 18}),
    ],
)
def test_it_selects_by_task_selection_state_and_run(stored, cli, arguments, status, states):
    said = cli("quarter", *arguments, "--output", "json")
    found = json.loads(said.out)
    assert (said.status, found["states"], found["total"]) == (status, states, sum(states.values()))
    assert len(found["partitions"]) == found["total"]


def test_json_and_csv_have_all_of_each_partition(stored, cli):
    found = json.loads(cli("quarter", "date=2013-02-28 origin=LGA,JFK", "--output", "json").out)
    assert found["selection"] == "date=2013-02-28 origin=LGA,JFK"
    assert found["dimensions"] == [{"name": "date", "cadence": "day"}, {"name": "origin", "cadence": None}]
    jfk, lga = found["partitions"]
    error = {"type": "OSError", "message": "<partition>: no such file"}
    assert lga == {
        "key": "date=2013-02-28/origin=LGA",
        "partition": {"date": "2013-02-28", "origin": "LGA"},
        "state": "failed",
        "older_data": True,
        "run_id": "spring",
        "task": "load",
        "map_index": 11,
        "try_number": 2,
        "duration_s": lga["duration_s"],
        "error": error,
    }
    assert (jfk["state"], jfk["older_data"], jfk["error"]) == ("loaded", False, None)
    assert found["errors"] == [{**error, "partitions": ["date=2013-02-28/origin=LGA"]}]
    text = cli("quarter", "--state", "not_loaded", "--output", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 26
    assert rows[0]["key"] == "date=2013-02-25/origin=LGA"
    assert (rows[0]["state"], rows[0]["older_data"], rows[0]["error_type"]) == ("failed", "True", "OSError")
    assert rows[-1] == {
        **dict.fromkeys(rows[0], ""),
        "key": "date=2013-03-25/origin=LGA",
        "state": "missing",
        "older_data": "False",
    }


def test_what_is_scattered_is_counted_by_two_dimensions(metadata_db, cli):
    written = Written(reloaded("scattered"))
    keep(written.dag)
    broken = {(day, origin) for n, day in enumerate(DAYS) for origin in ORIGINS[: n % 3]}
    load(written, "one", PLAN, lambda one: "failed" if (one["date"], one["origin"]) in broken else "success")
    written.flush()
    said = cli("scattered")
    assert (
        "180 loaded, 90 failed\n\n"
        "date     all  EWR  JFK\n"
        "2013-03   32   21   11\n"
        "2013-02   28   19    9\n"
        "2013-01   30   20   10\n\n"
        "date        origin  state   run  tries  error\n"
    ) in said.out
    assert "and 40 more: --output json or csv has all of them" in said.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "There is no DAG 'nothing'"),
        (["quarter", "laod"], "no mapped task or group 'laod': choose one of load"),
        (["quarter", "load", "lga"], "'load' and 'lga' both stand where TASK does"),
        (
            ["quarter", "orign=EWR"],
            "there is no dimension 'orign' in these partitions: they have date, origin",
        ),
        (
            ["quarter", "date=2013-02-30.."],
            "at character 6, after 'date=', before '2013-02-30..': '2013-02-30' is no date",
        ),
        (["quarter", "--select", "origin="], "at character 8"),
        (["quarter", "--state", "failing"], "There is no state 'failing'. Did you mean"),
        (["quarter", "--run", "sprnig"], "no run 'sprnig'"),
        (["quarter", "--runs", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_answered_is_said_with_status_2(stored, cli, arguments, said):
    found = cli(*arguments)
    assert (found.status, found.out) == (2, "")
    assert said in found.flat
    assert "Traceback" not in found.err


def states(dag_id, run_id, task_id):
    with create_session() as session:
        rows = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id)
        return {row.map_index: row.state for row in rows}


def runs(dag_id):
    with create_session() as session:
        return {row.run_id: row.conf for row in session.query(DagRun).filter_by(dag_id=dag_id)}


@pytest.fixture
def two(metadata_db):
    """Two runs: of the second LGA failed, and the last two days no run has."""
    written = Written(reloaded(f"two_{uuid.uuid4().hex}"))
    keep(written.dag)
    with create_session() as session:
        session.query(DagModel).filter_by(dag_id=written.dag_id).update({"is_paused": False})
    first, second, _ = DAYS[:2], DAYS[2:4], DAYS[4:6]
    load(
        written,
        "first",
        product(date=first, origin=ORIGINS),
        lambda one: "failed" if one["origin"] == "EWR" else "success",
        state="failed",
    )
    load(
        written,
        "second",
        product(date=second, origin=ORIGINS),
        lambda one: "failed" if one["origin"] == "LGA" else "success",
        minute=60,
        state="failed",
    )
    load(written, "third", product(date=DAYS[6:7], origin=ORIGINS), minute=120)
    written.flush()
    return written.dag_id


CLEARED = [
    {"run_id": "first", "task": "load", "map_index": 0, "was": "failed"},
    {"run_id": "first", "task": "load", "map_index": 3, "was": "failed"},
    {"run_id": "second", "task": "load", "map_index": 2, "was": "failed"},
    {"run_id": "second", "task": "load", "map_index": 5, "was": "failed"},
]
TOLD = {"mode": "custom", "start_date": "2013-01-05", "end_date": "2013-01-06", "origin": ORIGINS}


class TestLoading:
    def test_it_shows_what_it_would_run_again_and_start(self, two, cli):
        said = cli(two, "--retry", "--reload", "--dry-run")
        assert (said.status, said.err) == (0, "")
        assert said.out.startswith(
            f"{two}, load\n\n"
            "Run again:\n"
            "run     task  #  piece                       was\n"
            "first   load  0  date=2013-01-01/origin=EWR  failed\n"
            "first   load  3  date=2013-01-02/origin=EWR  failed\n"
            "second  load  2  date=2013-01-03/origin=LGA  failed\n"
            "second  load  5  date=2013-01-04/origin=LGA  failed\n\n"
            "4 instances of pieces (4 failed) and 0 more.\n\n"
            "Started:\n"
        )
        assert "mode=custom start_date=2013-01-05 end_date=2013-01-06 origin=EWR,JFK,LGA" in " ".join(
            re.findall(r"[a-z_]+=\S+", said.out[said.out.index("Started:") :])
        )
        assert said.out.endswith(
            "\nClear 4 instances in 2 runs and start 1 run: not done, this is a dry run.\n"
        )
        assert set(runs(two)) == {"first", "second", "third"}

    def test_just_that_is_cleared_and_started_and_a_second_time_nothing(self, two, cli):
        would = json.loads(cli(two, "--retry", "--reload", "--dry-run", "--output", "json").out)
        assert would["would_be_cleared"] == CLEARED
        assert [one["conf"] for one in would["would_be_started"]] == [TOLD]
        done = json.loads(cli(two, "--retry", "--reload", "--yes", "--output", "json").out)
        (started,) = done["started"]
        assert (done["cleared"], done["left_alone"]) == (CLEARED, 0)
        assert started == would["would_be_started"][0]["run_id"]
        assert runs(two)[started] == TOLD
        assert {n for n, state in states(two, "first", "load").items() if state is None} == {0, 3}
        assert {n for n, state in states(two, "second", "load").items() if state is None} == {2, 5}
        with create_session() as session:
            rows = session.query(Log).filter_by(dag_id=two, event="cli_mapping_kit_partitions")
            assert {row.run_id for row in rows} == {"first", "second", started}
        said = cli(two, "--retry", "--reload", "--yes")
        assert (said.status, said.flat) == (0, f"{two}, load There is nothing to do.")
        assert set(runs(two)) == {"first", "second", "third", started}
        assert cli(two).flat.startswith(f"{two}, load: none of 21 partitions is left out; 10 are on the way")

    def test_only_what_is_selected_is_loaded(self, two, cli):
        done = json.loads(cli(two, "origin=EWR,JFK", "--retry", "--yes", "--output", "json").out)
        assert (done["cleared"], done["started"]) == (CLEARED[:2], [])
        done = json.loads(cli(two, "date=2013-01-06 origin=JFK", "--reload", "--yes", "--output", "json").out)
        (started,) = done["started"]
        assert runs(two)[started] == {**TOLD, "start_date": "2013-01-06", "origin": ["JFK"]}

    def test_what_is_chosen_by_its_state_runs_again_though_it_is_loaded(self, two, cli):
        arguments = (
            two,
            "date=2013-01-01",
            "--state",
            "loaded,failed",
            "--retry",
            "--dry-run",
            "--output",
            "csv",
        )
        assert cli(*arguments).out == (
            "run_id,task,map_index,was\nfirst,load,0,failed\nfirst,load,1,success\nfirst,load,2,success\n"
        )

    def test_it_asks_first_and_no_an_end_of_input_and_an_interrupt_mean_no(self, two, cli, monkeypatch):
        def interrupted():
            raise KeyboardInterrupt

        for answer in (io.StringIO("n\n"), io.StringIO(""), LateAnswer(interrupted)):
            monkeypatch.setattr("sys.stdin", answer)
            said = cli(two, "--retry", "--reload")
            assert (said.status, said.err.strip()) == (1, "Nothing was done.")
            assert "Clear 4 instances in 2 runs and start 1 run? [y/N]" in said.out
        monkeypatch.setattr("sys.stdin", None)
        assert cli(two, "--retry").status == 1
        assert set(runs(two)) == {"first", "second", "third"}
        assert None not in states(two, "first", "load").values()
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        said = cli(two, "--retry", "--reload")
        assert said.status == 0
        assert said.out.endswith("4 instances cleared, 1 run started: they run as soon as there is room.\n")

    def test_what_changed_while_it_asked_is_shown_and_asked_again(self, two, cli, monkeypatch):
        def a_colleague_was_faster():
            if states(two, "first", "load")[0] == "failed":
                with create_session() as session:
                    rows = session.query(TaskInstance).filter_by(dag_id=two, run_id="first", map_index=0)
                    rows.update({"state": "success"})

        monkeypatch.setattr("sys.stdin", LateAnswer(a_colleague_was_faster))
        said = cli(two, "--retry")
        assert said.status == 0
        assert "The list has changed in the meantime. Look at it again." in said.out
        assert said.out.index("Clear 4 instances in 2 runs?") < said.out.index("Clear 3 instances in 2 runs?")
        assert said.out.endswith("3 instances cleared: they run as soon as there is room.\n")
        assert states(two, "first", "load")[0] == "success"

    def test_what_is_all_there_needs_nothing(self, two, cli):
        said = cli(two, "date=2013-01-07", "--retry", "--reload", "--yes", "--output", "json")
        assert (said.status, json.loads(said.out)) == (0, {"cleared": [], "started": [], "left_alone": 0})


class LateAnswer(io.StringIO):
    """Answers with yes, after something has happened."""

    def __init__(self, happened):
        super().__init__()
        self._happened = happened

    def readline(self, *_):
        self._happened()
        return "y\n"


class TestBadInput:
    def test_a_dag_whose_file_is_gone_or_broken_is_shown_and_not_run(self, two, cli):
        with create_session() as session:
            session.query(DagModel).filter_by(dag_id=two).update({"has_import_errors": True})
        said = cli(two)
        assert said.status == 1
        assert "can't be imported now: this is the DAG as it was before." in said.flat
        said = cli(two, "--retry", "--yes")
        assert (said.status, "mend the file" in said.flat) == (2, True)
        gone = {"is_stale": True} if AIRFLOW_3 else {"is_active": False}
        with create_session() as session:
            session.query(DagModel).filter_by(dag_id=two).update({"has_import_errors": False, **gone})
        assert "has it no more: this is what its runs have left." in cli(two).flat
        said = cli(two, "--reload", "--yes")
        assert (said.status, "no file declares it any more" in said.flat) == (2, True)
        assert set(runs(two)) == {"first", "second", "third"}

    def test_a_dag_without_mapped_tasks_has_no_partitions(self, metadata_db, cli):
        with DAG("unmapped", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:
            EmptyOperator(task_id="plain")
        Written(dag)
        keep(dag)
        said = cli("unmapped")
        assert (said.status, said.out) == (2, "")
        assert "no mapped task and no mapped group, so it has no partitions to show" in said.flat

    def test_strangers_text_and_long_keys_are_shown_and_selected_as_they_are(self, metadata_db, cli):
        odd = ["\x1b[31mred", 'a,b "c"..', "NULL", "x" * 480, "東京 \u202e", "="]
        with DAG("odd", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:
            task(task_id="load")(lambda name: name).expand(name=[*odd, "fine"])
        written = Written(dag)
        keep(dag)
        run = written.run("one", started=at(0), ended=at(1), state="failed")
        for index in range(7):
            written.instance(
                run, "load", index, "success" if index == 6 else "failed", start=at(0), end=at(1)
            )
        written.flush()
        said = cli("odd")
        assert (said.status, said.err) == (1, "")
        assert not set(said.out) & set("\x1b\u202e")
        found = json.loads(cli("odd", "--output", "json").out)
        by_value = {one["partition"]["name"]: one for one in found["partitions"]}
        assert set(by_value) == {*odd, "fine"}
        for value, one in by_value.items():
            quoted = value.replace('"', '""')
            for text in (f'name="{quoted}"', f'"{one["key"]}"'):
                chosen = json.loads(cli("odd", "--select", text, "--output", "json").out)
                assert [row["key"] for row in chosen["partitions"]] == [one["key"]], text

    def test_a_run_whose_partitions_had_other_dimensions_is_named_and_can_be_looked_at(
        self, metadata_db, cli
    ):
        written = Written(reloaded("renamed"))
        keep(written.dag)
        for n, plan in enumerate([PLAN[:3], product(day=DAYS[:2], airport=["EWR"]), PLAN[3:9]]):
            load(written, f"r{n}", plan, minute=n * 60)
        written.flush()
        said = cli("renamed")
        assert said.out.startswith("renamed, load: all 9 partitions are loaded\n9 loaded\n")
        assert "The run r1 is not counted: its partitions have other dimensions (airport, day)." in said.flat
        said = cli("renamed", "--run", "r1", "airport=E*", "--output", "csv")
        assert (said.status, len(said.out.splitlines())) == (0, 3)
        said = cli("renamed", "airport=EWR")
        assert (said.status, "they have date, origin" in said.flat) == (2, True)

    def test_a_database_that_goes_away_in_the_middle_is_one_sentence(self, two, cli):
        statements = []

        def gone(*given):
            statements.append(given[2])
            if len(statements) > 4:
                raise OperationalError(given[2], {}, Exception("server closed the connection unexpectedly"))

        event.listen(settings.engine, "before_cursor_execute", gone)
        try:
            said = cli(two)
        finally:
            event.remove(settings.engine, "before_cursor_execute", gone)
            # A cursor in the traceback would keep SQLite's lock: whoever commits next would wait, and again.
            gc.collect()
        assert (said.status, said.out) == (2, "")
        assert "can't be asked: server closed the connection unexpectedly" in said.flat
        assert "Traceback" not in said.err


@pytest.fixture(scope="module")
def webserver(metadata_db, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("api")) as address:
        yield address


@pytest.fixture
def api(webserver, monkeypatch):
    """Return the arguments that ask the page, whose user the environment names."""
    monkeypatch.setenv("MAPPING_KIT_API_USER", "quagga")
    monkeypatch.setenv("MAPPING_KIT_API_PASSWORD", "zyzzyva")
    return ("--api", webserver)


class TestThroughThePage:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["load", "--state", "failed,missing", "origin=LGA,JFK"],
            ["--run", "latest", "--select", "lga"],
            ["--run", "spring", "--output", "csv"],
            ["--output", "json", "date=2013-02-25..2013-03-05"],
        ],
        ids=" ".join,
    )
    def test_it_says_the_same_as_beside_the_database(self, stored, cli, api, arguments):
        beside, through = cli("quarter", *arguments), cli("quarter", *arguments, *api)
        assert beside.out != ""
        assert (through.status, rounded(through.out), through.err) == (
            beside.status,
            rounded(beside.out),
            beside.err,
        )

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["nothing"], "There is no DAG 'nothing', or it has been deleted."),
            (["quarter", "laod"], "no mapped task or group 'laod': choose one of load"),
            (["quarter", "--run", "sprnig"], "no run 'sprnig'"),
            (["quarter", "orign=EWR"], "no dimension 'orign'"),
        ],
    )
    def test_what_the_page_refuses_is_said(self, stored, cli, api, arguments, said):
        found = cli(*arguments, *api)
        assert (found.status, found.out) == (2, "")
        assert said in found.flat

    def test_it_clears_and_starts_the_same(self, two, cli, api):
        arguments = (two, "--retry", "--reload", "--output", "json")
        would = cli(*arguments, "--dry-run")
        through = cli(*arguments, "--dry-run", *api)
        assert (through.status, through.err, json.loads(through.out)) == (0, "", json.loads(would.out))
        done = json.loads(cli(*arguments, "--yes", *api).out)
        (started,) = done["started"]
        assert (done["cleared"], done["left_alone"], runs(two)[started]) == (CLEARED, 0, TOLD)
        assert {n for n, state in states(two, "second", "load").items() if state is None} == {2, 5}
        assert cli(*arguments, "--yes", *api).flat == cli(*arguments, "--yes").flat

    def test_what_changed_while_it_asked_is_shown_and_asked_again(self, two, cli, api, monkeypatch):
        def a_colleague_was_faster():
            with create_session() as session:
                rows = session.query(TaskInstance).filter_by(dag_id=two, run_id="first", map_index=0)
                rows.update({"state": "success"})

        monkeypatch.setattr("sys.stdin", LateAnswer(a_colleague_was_faster))
        said = cli(two, "--retry", *api)
        assert said.status == 0
        assert said.out.index("Clear 4 instances in 2 runs?") < said.out.index("Clear 3 instances in 2 runs?")
        assert states(two, "first", "load")[0] == "success"

    def test_a_dag_that_is_gone_is_refused(self, two, cli, api):
        gone = {"is_stale": True} if AIRFLOW_3 else {"is_active": False}
        with create_session() as session:
            session.query(DagModel).filter_by(dag_id=two).update(gone)
        said = cli(two, "--reload", "--yes", *api)
        assert (said.status, "no file declares it any more" in said.flat) == (2, True)

    def test_a_wrong_password_nobody_and_a_server_without_the_page_are_told_apart(
        self, stored, cli, api, monkeypatch
    ):
        monkeypatch.setenv("MAPPING_KIT_API_PASSWORD", "quokka")
        found = cli("quarter", *api)
        assert (found.status, "401" in found.flat, "MAPPING_KIT_API_PASSWORD" in found.flat) == (
            2,
            True,
            True,
        )
        monkeypatch.delenv("MAPPING_KIT_API_USER")
        found = cli("quarter", *api)
        assert (found.status, "doesn't know who asks (401)" in found.flat) == (2, True)
        with no_page() as address:
            found = cli("quarter", "--api", address)
        assert (found.status, "has no page of airflow-mapping-kit's (404 at /" in found.flat) == (2, True)


def rounded(text):
    """Return a text with its long fractions short: the page rounds seconds."""
    return re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.3f}", text)


@contextlib.contextmanager
def no_page():
    """Serve nothing, and give the address."""

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            """Stay out of what the command prints."""

    server = HTTPServer(("127.0.0.1", 0), Nothing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_without_a_dag_it_shows_all_in_numbers_the_worst_first(stored, cli, api):
    said = cli()
    assert (said.status, said.err) == (1, "")
    (line,) = [line for line in said.out.splitlines() if line.lstrip("│ ").startswith("quarter")]
    answer = json.loads(cli("--output", "json").out)
    one = next(dag for dag in answer["dags"] if dag["id"] == "quarter")
    assert (one["task"], one["states"]["failed"], one["trouble"]) == ("load", 8, None)
    assert one["not_loaded"] == one["states"]["failed"] + one["states"]["missing"]
    assert f"{one['not_loaded']}" in line
    order = [dag["not_loaded"] for dag in answer["dags"] if not dag["trouble"]]
    assert order == sorted(order, reverse=True)
    row = next(
        row for row in csv.DictReader(io.StringIO(cli("--output", "csv").out)) if row["id"] == "quarter"
    )
    assert (row["failed"], row["not_loaded"]) == ("8", str(one["not_loaded"]))
    assert cli("--retry").err.strip().startswith("Error: Name a DAG.")
    through = next(
        dag for dag in json.loads(cli("--output", "json", *api).out)["dags"] if dag["id"] == "quarter"
    )
    assert through == one

    def test_what_holds_of_batches_at_work_is_changed_through_it_too(self, api, capsys, monkeypatch):
        with DAG("carried", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:

            @batched(concurrency=4)
            def ship(order):
                return order

            ship.expand(order=batches([1, 2], batch_size=2))
        written = Written(dag)
        keep(dag)
        run = written.run("at_work", started=at(0), ended=None, state="running")
        written.xcom(run, "batches", [[1, 2]])
        written.instance(run, "ship", 0, "running", start=at(0), end=None)
        written.flush()

        def set_(*options, task="ship"):
            command = ["mapping-kit", "run", "set", "carried", "latest", task, *options, *api]
            monkeypatch.setattr(sys, "argv", command)
            capsys.readouterr()
            with pytest.raises(SystemExit) as end:
                main()
            said = capsys.readouterr()
            return end.value.code, said.out or " ".join(said.err.split())

        assert set_("--pause", "--rate", "100/m")[0] == 0
        status, text = set_("--output", "json")
        found = json.loads(text)
        assert (status, found["run_id"]) == (0, "at_work")
        assert [(one["name"], one["value"], one["by"]) for one in found["settings"]] == [
            ("concurrency", 4, None),
            ("stop_after", None, None),
            ("rate", "100/m", "quagga"),
            ("paused", True, "quagga"),
        ]
        status, said = set_("--rate", "fast")
        assert status == 2
        assert "answers 409: rate='fast' is not a rate" in said
        status, said = set_(task="load")
        assert status == 2
        assert "no task 'load' that works on batches. Its batched tasks: ship." in said
