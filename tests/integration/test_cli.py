"""`mapping-kit` on a real metadata database: what it says, what it clears, and what it makes of bad input."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import logging
import re
import shlex
import socket
import sys
import textwrap
import uuid
from types import SimpleNamespace

import pendulum
import pytest
from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import create_engine, event
from sqlalchemy.exc import OperationalError

import airflows
from airflow_mapping_kit.cli.program import commands, main
from airflow_mapping_kit.compat import dag_folders, has_state_store, read_dags
from airflow_mapping_kit.redrive import clearing
from airflows import AIRFLOW_3, create_session
from doc_blocks import BLOCK, ROOT
from webservers import serving

START = pendulum.datetime(2024, 1, 1)
# On Airflow 2 two runs of a DAG that stand for one moment can't be.
SECONDS = itertools.count(1_000)
HEAD = """
from __future__ import annotations
import json
from datetime import timedelta
from pathlib import Path
import pendulum
from airflows import DAG, Param, dag, task, task_group
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, date_range, generator, product, sql_rows
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.reload import reload_params, reload_partitions

BROKEN = Path(__file__).with_name("broken.json")
START = pendulum.datetime(2024, 1, 1)

def tell(name):
    with Path(__file__).with_name("told.txt").open("a") as file:
        file.write(f"{name}\\n")
    if name in json.loads(BROKEN.read_text()):
        raise ValueError(f"{name} is broken")
    return name
"""

FLIGHTS = """
@dag(schedule="@daily", start_date=START, catchup=False, params=reload_params(origin=["EWR", "JFK"]))
def flights():
    @task(map_index_template=label("{origin} {date}"))
    def load(partition):
        return tell(f"{partition['origin']} {partition['date']}")

    @task
    def publish(report):
        return report["succeeded"]

    publish(collect(load.expand(partition=reload_partitions())))

flights()
"""

SHOP = """
@dag(schedule=None, start_date=START)
def shop():
    @task
    def orders():
        return list(range(1, 41))

    @batched(concurrency=2)
    def ship(order):
        return tell(f"order {order}")

    collect(ship.expand(order=batches(orders(), batch_size=10)))

shop()
"""

OF = "a plan that is too long for one XCom"
LAKE = f"""
@generator
def listed():
    for number in range(12_000):
        yield {{"n": number, "of": "{OF}"}}

@dag(schedule=None, start_date=START)
def lake():
    @batched
    def load(item):
        if item["n"] in (17, 9003):
            tell(f"n={{item['n']}}")

    collect(load.expand(item=listed.override(batch_size=4000)()))

lake()
"""

STEPS = """
@dag(schedule=None, start_date=START)
def stepwise():
    @task_group
    def steps(number):
        @task
        def fetch(number):
            return number

        @task
        def check(number):
            tell(f"check {number}")
            return number

        @task(trigger_rule="all_done")
        def tidy(number):
            tell(f"tidy {number}")

        fetched = fetch(number)
        checked = check(fetched)
        checked >> tidy(number)
        return checked

    collect(steps.expand(number=[1, 2, 3]))

    @task
    def alone(x):
        tell(f"alone {x}")
        return x

    @task(trigger_rule="all_done")
    def chained(x):
        return x

    chained.expand(x=alone.expand(x=["a", "b", "c"]))

    @task
    def plain():
        return 1

    plain()

stepwise()
"""


class Home:
    """A folder of DAG files, and the command run on it."""

    def __init__(self, folder, capsys, monkeypatch):
        self.folder = folder
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.broken()

    def file(self, name, text):
        path = self.folder / f"{name}.py"
        path.write_text(f"{HEAD}\n{textwrap.dedent(text)}")
        return path

    def broken(self, *names):
        (self.folder / "broken.json").write_text(json.dumps(names))

    def told(self):
        """Return what was worked on since this was asked last."""
        path = self.folder / "told.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(lines)

    def dag(self, dag_id):
        (folder,) = dag_folders()
        with logging_off():
            dags, _ = read_dags(folder)
        airflows.store(dags[dag_id])
        if not AIRFLOW_3:
            from airflow.models.serialized_dag import SerializedDagModel

            # That is where the webserver has them from.
            SerializedDagModel.write_dag(dags[dag_id])
        return dags[dag_id]

    def run(self, dag_id, **options):
        """Run a DAG to its end, and return the id of its run."""
        with logging_off():
            return airflows.dag_test(self.dag(dag_id), **options).run_id

    def again(self, dag_id, run_id):
        """Run what was cleared, in the order of the tasks, as the scheduler would."""
        dag = self.dag(dag_id)
        with logging_off():
            for task in dag.topological_sort():
                for instance in DagRun.find(dag_id=dag_id, run_id=run_id)[0].get_task_instances():
                    if instance.task_id == task.task_id and instance.state is None:
                        airflows.run_alone(dag, instance)

    def instances(self, dag_id, run_id):
        with create_session() as session:
            rows = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id)
            return {(row.task_id, row.map_index): (row.state, row.start_date, row.max_tries) for row in rows}

    def change(self, dag_id, run_id, task_id, map_index=None, **values):
        with create_session() as session:
            rows = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id)
            if map_index is not None:
                rows = rows.filter_by(map_index=map_index)
            assert rows.update(values)

    def change_run(self, dag_id, run_id, **values):
        with create_session() as session:
            assert session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).update(values)

    def cli(self, *arguments):
        """Run the command; return its exit status, output and errors."""
        self._monkeypatch.setattr(sys, "argv", ["mapping-kit", *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = self._capsys.readouterr()
        return end.value.code, said.out, said.err

    def json(self, *arguments):
        status, text, errors = self.cli(*arguments, "--output", "json")
        assert errors == ""
        return status, json.loads(text)


@contextlib.contextmanager
def logging_off():
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@pytest.fixture
def home(metadata_db, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(settings, "DAGS_FOLDER", str(tmp_path))
    with create_session() as session:
        # The files of other tests are there yet.
        session.query(DagModel).update({"relative_fileloc" if AIRFLOW_3 else "fileloc": ""})
    monkeypatch.setenv("COLUMNS", "80")
    return Home(tmp_path, capsys, monkeypatch)


def flat(text):
    return " ".join(text.split())


class TestRetry:
    def test_only_items_that_failed_run_again_each_time_it_is_retried(self, home):
        home.file("shop", SHOP)
        home.broken("order 3", "order 17")
        run_id = home.run("shop")
        assert len(home.told()) == 40

        home.broken("order 17")
        status, text, errors = home.cli("retry", "shop", run_id, "--yes")
        assert (status, errors) == (0, "")
        assert "only the items that are not done run again" in flat(text)
        home.again("shop", run_id)
        assert home.told() == ["order 17", "order 3"]

        assert home.cli("retry", "shop", run_id, "--yes")[0] == 0
        home.again("shop", run_id)
        assert home.told() == ["order 17"]

        home.broken()
        assert home.cli("retry", "shop", run_id, "--fresh", "--yes")[0] == 0
        home.again("shop", run_id)
        assert home.told() == sorted(f"order {n}" for n in range(11, 21))
        assert home.cli("status", "shop", run_id)[0] == 0

    @pytest.mark.parametrize("place", ["storage", "xcoms"])
    def test_of_a_plan_by_reference_too(self, home, tmp_path, monkeypatch, place):
        if place == "storage":
            monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", str(tmp_path / "kept"))
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
        home.file("lake", LAKE)
        home.broken("n=17", "n=9003")
        run_id = home.run("lake")
        status, found = home.json("status", "lake", run_id, "--failed")
        (task,) = found["tasks"]
        assert (status, task["total"], task["states"]) == (1, 12_000, {"success": 11_998, "failed": 2})
        assert [(row["key"], row["map_index"], row["error"]["message"]) for row in task["results"]] == [
            (f"n={number}/of={OF}", index, f"n={number} is broken") for number, index in ((17, 0), (9003, 2))
        ]
        status, text, _ = home.cli("partitions", "lake")
        assert (status, "2 of 12,000 partitions are not loaded" in flat(text)) == (1, True)
        status, text, _ = home.cli("retry", "lake", run_id, "--key", f"n=17/of={OF}", "--dry-run")
        assert "1 instance of pieces (1 failed) and 1 more." in flat(text)
        assert "only the items that are not done run again" in flat(text)
        home.broken()
        home.told()
        assert home.cli("retry", "lake", run_id, "--yes")[0] == 0
        home.again("lake", run_id)
        assert home.told() == ["n=17", "n=9003"]
        assert home.json("status", "lake", run_id)[1]["tasks"][0]["states"] == {"success": 12_000}
        for path in (tmp_path / "kept").rglob("*.jsonl"):
            path.unlink()
        status, text, errors = home.cli("status", "lake", run_id)
        if place == "storage":
            assert "load: 12,000 pieces: 12,000 success" in flat(text)
            assert "Their rows can't be read here. The results of load [0]" in flat(text)
        assert (status, errors) == (0, "")

    def test_exactly_what_failed_and_what_follows_is_cleared_and_the_run_goes_on(self, home):
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02")
        run_id = home.run("flights", logical_date=pendulum.datetime(2024, 1, 3))
        before = home.instances("flights", run_id)
        assert {place: state for place, (state, *_) in before.items()} == {
            ("reload_partitions", -1): "success",
            ("load", 0): "failed",
            ("load", 1): "success",
            ("collect_load", -1): "failed",
            ("publish", -1): "upstream_failed",
        }
        status, found = home.json("retry", "flights", run_id, "--yes")
        assert (status, found) == (
            0,
            {
                "cleared": [
                    {"task": "load", "map_index": 0, "was": "failed"},
                    {"task": "collect_load", "map_index": -1, "was": "failed"},
                    {"task": "publish", "map_index": -1, "was": "upstream_failed"},
                ]
            },
        )
        assert DagRun.find(dag_id="flights", run_id=run_id)[0].state == "queued"
        after = home.instances("flights", run_id)
        assert {place for place in after if after[place] != before[place]} == {
            ("load", 0),
            ("collect_load", -1),
            ("publish", -1),
        }

    def test_in_a_group_what_comes_after_a_failure_runs_again_though_it_succeeded(self, home):
        home.file("stepwise", STEPS)
        home.broken("check 2")
        run_id = home.run("stepwise")
        _, found = home.json("retry", "stepwise", run_id, "--dry-run")
        assert [(one["task"], one["map_index"], one["was"]) for one in found["would_be_cleared"]] == [
            ("steps.check", 1, "failed"),
            ("steps.tidy", 1, "success"),
            ("collect_steps", -1, "failed"),
        ]

    def test_what_is_mapped_over_the_output_of_what_runs_again_runs_again_as_a_whole(self, home):
        home.file("stepwise", STEPS)
        home.broken("alone b")
        run_id = home.run("stepwise")
        _, found = home.json("retry", "stepwise", run_id, "alone", "--dry-run")
        assert [(one["task"], one["map_index"]) for one in found["would_be_cleared"]] == [
            ("alone", 1),
            ("chained", 0),
            ("chained", 1),
        ]

    def test_a_generator_that_failed_runs_again_with_what_waited_for_it(self, home):
        home.file("flights", FLIGHTS)
        run_id = home.run("flights")
        home.change("flights", run_id, "reload_partitions", state="failed")
        home.change("flights", run_id, "load", state="upstream_failed")
        _, found = home.json("retry", "flights", run_id, "--dry-run")
        assert [one["task"] for one in found["would_be_cleared"]] == [
            "reload_partitions",
            "load",
            "load",
            "collect_load",
            "publish",
        ]

    def test_a_task_that_waits_for_another_which_failed_is_refused_alone(self, home):
        home.file("stepwise", STEPS)
        run_id = home.run("stepwise")
        home.change("stepwise", run_id, "alone", 0, state="failed")
        home.change("stepwise", run_id, "chained", state="upstream_failed")
        status, _, errors = home.cli("retry", "stepwise", run_id, "chained", "--yes")
        assert status == 2
        assert "chained is upstream_failed because before it pieces of alone failed" in flat(errors)

    def test_batches_are_spoken_of_where_the_plan_has_some(self, home):
        home.file(
            "lake",
            """
            from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator

            @dag(schedule=None, start_date=START)
            def lake():
                for name, plan in {
                    "single": [{"day": "mon"}],
                    "several": [[{"day": "mon"}, {"day": "tue"}]],
                }.items():
                    DuckDBPartitionOperator.partial(
                        task_id=name, sql="SELECT error('broken')", target="/nowhere"
                    ).expand(partition=plan)

            lake()
            """,
        )
        run_id = home.run("lake")
        status, text, errors = home.cli("retry", "lake", run_id, "--dry-run")
        assert (status, errors) == (0, "")
        assert "2 instances would be cleared." in text
        assert "Of these batches of several " in flat(text)
        assert "batches of single" not in flat(text)

    def test_nothing_failed_means_nothing_is_cleared(self, home):
        home.file("flights", FLIGHTS)
        run_id = home.run("flights")
        before = home.instances("flights", run_id)
        status, text, _ = home.cli("retry", "flights", "latest", "--yes")
        assert status == 0
        assert "no piece failed" in flat(text)
        assert home.instances("flights", run_id) == before

    def test_it_asks_first_and_no_means_no(self, home, monkeypatch):
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02")
        run_id = home.run("flights", logical_date=pendulum.datetime(2024, 1, 3, 1))
        before = home.instances("flights", run_id)
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        status, text, errors = home.cli("retry", "flights", run_id)
        assert (status, errors) == (1, "Nothing was done.\n")
        assert "Clear these 3 instances? [y/N]" in text
        assert home.instances("flights", run_id) == before
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert home.cli("retry", "flights", run_id)[0] == 0
        assert home.instances("flights", run_id)["load", 0][0] is None

    def test_in_a_run_that_goes_on_what_failed_is_cleared_only_on_request_and_the_rest_is_left(self, home):
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02")
        run_id = home.run("flights", logical_date=pendulum.datetime(2024, 1, 3, 2))
        home.change_run("flights", run_id, state="running")
        home.change("flights", run_id, "load", 1, state="running")
        home.change("flights", run_id, "collect_load", state=None)
        home.change("flights", run_id, "publish", state=None)
        status, _, errors = home.cli("retry", "flights", run_id)
        assert status == 2
        assert "is running. Left alone: 3 instances at work or waiting. If that is meant, say --yes." in flat(
            errors
        )
        status, text, _ = home.cli("retry", "flights", run_id, "--yes", "--output", "csv")
        assert status == 0
        assert text == "task,map_index,was\nload,0,failed\n"
        assert home.instances("flights", run_id)["load", 1][0] == "running"

    def test_a_key_or_a_label_stands_for_one_piece_and_a_key_that_is_not_there_is_answered_with_near_ones(
        self, home
    ):
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02", "JFK 2024-01-02")
        run_id = home.run("flights", logical_date=pendulum.datetime(2024, 1, 3, 3))
        for key in ("date=2024-01-02/origin=JFK", "JFK 2024-01-02"):
            _, found = home.json("retry", "flights", run_id, "--key", key, "--dry-run")
            assert [(o["task"], o["map_index"]) for o in found["would_be_cleared"]] == [
                ("load", 1),
                ("collect_load", -1),
                ("publish", -1),
            ]
        status, _, errors = home.cli("retry", "flights", run_id, "--key", "date=2024-01-02/origin=JKF")
        assert status == 2
        assert "Did you mean date=2024-01-02/origin=JFK" in flat(errors)

    def test_a_selection_stands_for_the_pieces_that_failed_of_what_it_selects(self, home):
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-01", "JFK 2024-01-01", "JFK 2024-01-02", "EWR 2024-01-03")
        run_id = home.run(
            "flights", run_conf={"mode": "custom", "start_date": "2024-01-01", "end_date": "2024-01-03"}
        )
        indexes = {}
        for text in (
            "origin=JFK",
            "origin=E* date=2024-01-02..",
            "date=2024-W01 !jfk",
            "date=2024-01-01,2024-01-02",
        ):
            _, found = home.json("retry", "flights", run_id, "--key", text, "--dry-run")
            indexes[text] = [one["map_index"] for one in found["would_be_cleared"] if one["task"] == "load"]
        assert indexes == {
            "origin=JFK": [3, 4],
            "origin=E* date=2024-01-02..": [2],
            "date=2024-W01 !jfk": [0, 2],
            "date=2024-01-01,2024-01-02": [0, 3, 4],
        }
        for text, said in {
            "origin=EWR date=2024-01-02": "is in state success, so there is nothing to retry",
            "orign=EWR": "there is no dimension 'orign' in these partitions: they have date, origin",
            "date=2024-02-30..": "at character 6",
            "JFK": "No piece of load has the key 'JFK'. Did you mean",
        }.items():
            status, out, errors = home.cli("retry", "flights", run_id, "--key", text, "--yes")
            assert (status, out) == (2, ""), text
            assert said in flat(errors)

    def test_a_key_that_succeeded_is_refused(self, home):
        home.file("shop", SHOP)
        home.broken("order 3")
        run_id = home.run("shop")
        status, _, errors = home.cli("retry", "shop", run_id, "--key", "order=4")
        assert status == 2
        assert "order=4 is in state success, so there is nothing to retry" in flat(errors)
        _, found = home.json("retry", "shop", run_id, "--key", "order=3", "--dry-run")
        assert found["would_be_cleared"][0] == {"task": "ship", "map_index": 0, "was": "failed"}

    def test_more_instances_than_a_statement_takes_are_cleared_together(self, home, monkeypatch):
        monkeypatch.setattr(clearing, "_MAX_TOLD", 1_000)
        home.file("stepwise", STEPS)
        run_id = home.run("stepwise")
        with create_session() as session:
            table = TaskInstance.__table__
            (one,) = session.execute(
                table.select().where(
                    table.c.run_id == run_id, table.c.task_id == "alone", table.c.map_index == 0
                )
            ).mappings()
            many = [{**one, "map_index": index, "state": "failed"} for index in range(3, 1203)]
            for row in many if AIRFLOW_3 else ():
                row["id"] = uuid.uuid4()
            session.execute(table.insert(), many)
        status, found = home.json("retry", "stepwise", run_id, "alone", "--yes")
        assert status == 0
        assert [one["map_index"] for one in found["cleared"] if one["task"] == "alone"] == [*range(3, 1203)]
        # Of so many the audit log has the number.
        assert audited(run_id)[0][2]["cleared"]["alone"] == 1_200
        states = {
            index: state
            for (task, index), (state, *_) in home.instances("stepwise", run_id).items()
            if task == "alone"
        }
        assert set(states.values()) == {"success", None}
        assert [states[index] for index in range(3)] == ["success"] * 3


class TestStatus:
    def test_every_piece_has_its_state_tries_time_and_error_and_failures_are_grouped(self, home):
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02", "JFK 2024-01-02")
        run_id = home.run("flights", logical_date=pendulum.datetime(2024, 1, 3, 4))
        status, found = home.json("status", "flights", run_id)
        assert (status, found["state"]) == (1, "failed")
        (told,) = found["tasks"]
        assert (told["task"], told["total"], told["states"]) == ("load", 2, {"failed": 2})
        row = told["results"][0]
        assert (row["key"], row["label"], row["map_index"], row["state"]) == (
            "date=2024-01-02/origin=EWR",
            "EWR 2024-01-02",
            0,
            "failed",
        )
        assert row["error"] == {"type": "ValueError", "message": "EWR 2024-01-02 is broken"}
        assert row["try_number"] == 1

        _, text, _ = home.cli("status", "flights", run_id)
        assert "load: 2 pieces: 2 failed" in text
        assert "1 × ValueError: EWR 2024-01-02 is broken" in flat(text)

    def test_items_of_batches_are_shown_one_by_one_and_failed_ones_alone_where_asked(self, home):
        home.file("shop", SHOP)
        home.broken("order 3", "order 17")
        run_id = home.run("shop")
        _, found = home.json("status", "shop", run_id)
        assert found["tasks"][0]["states"] == {"success": 38, "failed": 2}
        status, text, _ = home.cli("status", "shop", run_id, "ship", "--failed", "--output", "csv")
        assert status == 1
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [(row["task"], row["map_index"], row["key"], row["error_message"]) for row in rows] == [
            ("ship", "0", "order=3", "order 3 is broken"),
            ("ship", "1", "order=17", "order 17 is broken"),
        ]

    def test_of_a_batch_that_was_killed_what_it_had_saved_is_done(self, home):
        home.file("shop", SHOP)
        run_id = home.run("shop")
        run = SimpleNamespace(dag_id="shop", run_id=run_id)
        rows = airflows.xcom_of(run, "ship", map_index=1)
        airflows.delete_xcom(run, "ship", map_index=1)
        home.change("shop", run_id, "ship", 1, state="failed")
        if has_state_store():
            saved = "\n".join(json.dumps({"item": item, **row}) for item, row in enumerate(rows[:4]))
            airflows.store_xcom(run, "ship", saved, map_index=1, key="mapping_kit_done/0")
        status, found = home.json("status", "shop", run_id)
        # Airflow 2 deletes what is kept elsewhere when the batch has succeeded, as it had here.
        done = 34 if has_state_store() else 30
        assert (status, found["tasks"][0]["states"]) == (1, {"success": done, "failed": 40 - done})

    def test_what_waits_or_runs_is_shown_as_such_and_is_no_failure(self, home):
        home.file("flights", FLIGHTS)
        run_id = home.run("flights", logical_date=pendulum.datetime(2024, 1, 3, 5))
        home.change_run("flights", run_id, state="running", end_date=None)
        home.change("flights", run_id, "load", 0, state="running")
        home.change("flights", run_id, "load", 1, state=None)
        status, found = home.json("status", "flights", run_id)
        assert status == 0
        assert [row["state"] for row in found["tasks"][0]["results"]] == ["running", "not_started"]

    def test_without_a_fan_in_it_says_why_there_are_no_errors(self, home):
        home.file("stepwise", STEPS)
        home.broken("alone b")
        run_id = home.run("stepwise")
        _, text, _ = home.cli("status", "stepwise", run_id, "alone")
        assert "Airflow keeps no errors, and no fan-in is after alone that would have them kept" in flat(text)

    def test_a_task_of_a_group_stands_for_the_group(self, home):
        home.file("stepwise", STEPS)
        home.broken("check 2")
        run_id = home.run("stepwise")
        answers = [home.json("status", "stepwise", run_id, name) for name in ("steps", "steps.tidy")]
        assert answers[0] == answers[1]
        assert [row["state"] for row in answers[0][1]["tasks"][0]["results"]] == [
            "success",
            "failed",
            "success",
        ]

    def test_ten_thousand_items_are_cut_in_a_table_and_whole_in_csv(self, home):
        home.file("shop", SHOP.replace("41", "10_001").replace("batch_size=10)", "batch_size=1000)"))
        home.broken("order 77")
        run_id = home.run("shop")
        statements = []
        event.listen(settings.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        status, text, _ = home.cli("status", "shop", run_id)
        assert status == 1
        assert len(text.splitlines()) < 70
        assert "and 9,950 more: --output json or csv has all of them" in text
        assert "ValueError: order 77 is broken" in text
        # As many for ten items.
        assert len(statements) < 15
        _, text, _ = home.cli("status", "shop", run_id, "--output", "csv")
        assert len(text.splitlines()) == 10_001


class TestPlan:
    def plan(self, home, dag_id, *arguments):
        status, found = home.json("plan", dag_id, *arguments)
        return status, found, {task["task"]: task for task in found["tasks"]}

    def test_a_triggered_run_has_the_partitions_of_its_conf(self, home):
        home.file("flights", FLIGHTS)
        conf = {"mode": "custom", "start_date": "2024-02-28", "end_date": "2024-03-01", "origin": ["JFK"]}
        status, found, tasks = self.plan(home, "flights", "--conf", json.dumps(conf))
        assert (status, found["run_type"]) == (0, "manual")
        assert [(p["key"], p["label"]) for p in tasks["load"]["pieces"]] == [
            ("date=2024-02-28/origin=JFK", "JFK 2024-02-28"),
            ("date=2024-02-29/origin=JFK", "JFK 2024-02-29"),
            ("date=2024-03-01/origin=JFK", "JFK 2024-03-01"),
        ]

    def test_a_logical_date_alone_is_that_of_the_scheduled_run_and_its_plan_that_of_a_real_one(self, home):
        home.file("flights", FLIGHTS)
        _, found, tasks = self.plan(home, "flights", "--logical-date", "2024-01-09")
        assert found["run_type"] == "scheduled"
        foreseen = [(p["map_index"], p["key"]) for p in tasks["load"]["pieces"]]
        # By default a scheduled run of Airflow 3 has the date that it is due, not that of the day it is for.
        day = "2024-01-08" if AIRFLOW_3 else "2024-01-09"
        assert foreseen == [(0, f"date={day}/origin=EWR"), (1, f"date={day}/origin=JFK")]

    def test_a_manual_run_of_the_same_moment_has_the_plan_that_was_foreseen(self, home):
        home.file("flights", FLIGHTS)
        date = pendulum.datetime(2024, 1, 10, 7)
        _, _, tasks = self.plan(home, "flights", "--conf", "{}", "--logical-date", date.isoformat())
        run_id = home.run("flights", logical_date=date)
        _, found = home.json("status", "flights", run_id)
        keys = [(row["key"], row["label"]) for row in found["tasks"][0]["results"]]
        assert [(p["key"], p["label"]) for p in tasks["load"]["pieces"]] == keys

    def test_what_is_missing_is_known_at_run_time_and_everything_before(self, home):
        home.file(
            "gaps",
            """
            from airflow_mapping_kit.generators import lake_partitions, without

            @dag(schedule="@daily", start_date=START, params=reload_params(only=True, origin=["EWR", "JFK"]))
            def gaps():
                @task
                def load(partition): ...

                @task
                def rest(partition): ...

                lake = lake_partitions("/no/such/lake")
                load.expand(partition=reload_partitions(there=lake, only="missing", lookback=3))
                rest.expand(partition=without(product(origin=["EWR", "JFK"]), ["origin=EWR"]))

            gaps()
            """,
        )
        dates = {"mode": "custom", "start_date": "2024-02-28", "end_date": "2024-02-28"}

        def foreseen(**conf):
            return self.plan(home, "gaps", "--conf", json.dumps({**dates, **conf}))[2]

        tasks = foreseen(select="origin=JFK")
        assert [p["key"] for p in tasks["load"]["pieces"]] == ["date=2024-02-28/origin=JFK"]
        assert [p["key"] for p in tasks["rest"]["pieces"]] == ["origin=JFK"]
        for only, asked in (("missing", "what is there"), ("failed", "what became of earlier runs")):
            load = foreseen(only=only)["load"]
            assert load["pieces"] is None
            assert load["known_at_run_time"] == f"reload_partitions asks {asked}"
        _, _, tasks = self.plan(home, "gaps", "--logical-date", "2024-01-09")
        assert tasks["load"]["known_at_run_time"] == "reload_partitions asks what is there"
        assert "matches none of the 2 partitions" in foreseen(select="origin=LGA")["load"]["error"]

    def test_generators_are_followed_templates_rendered_and_batches_say_what_they_hold(self, home):
        home.file(
            "nested",
            """
            @dag(schedule=None, start_date=START, params={"days": Param(3, type="integer")})
            def nested():
                @batched
                def ship(partition): ...

                @task(map_index_template=label("{a}{b}"))
                def cross(a, b): ...

                @task
                def rendered(day): ...

                dates = date_range("{{ ds }}", "{{ macros.ds_add(ds, params.days - 1) }}")
                ship.expand(partition=batches(product(origin=["EWR", "JFK"], date=dates), batch_size=4))
                sized = date_range.override(batch_size="{{ params.days - 1 }}")("2024-01-01", "2024-01-05")
                ship.override(task_id="sized").expand(partition=sized)
                ship.override(task_id="unsized").expand(partition=date_range("2024-01-01", "2024-03-31"))
                cross.expand(b=[1, 2], a=["x"])
                rendered.expand(day=["{{ ds }}", "2024-01-01"])

            nested()
            """,
        )
        _, _, tasks = self.plan(home, "nested", "--conf", "{}", "--logical-date", "2024-05-01")
        first, second = tasks["ship"]["pieces"]
        assert (len(first["items"]), second["items"]) == (
            4,
            ["date=2024-05-02/origin=JFK", "date=2024-05-03/origin=JFK"],
        )
        assert second["label"].startswith("items 5–6 of 6: ")
        assert [len(p["items"]) for p in tasks["sized"]["pieces"]] == [2, 2, 1]
        assert [len(p["items"]) for p in tasks["unsized"]["pieces"]] == [50, 41]
        assert [(p["key"], p["label"]) for p in tasks["cross"]["pieces"]] == [
            ("a=x/b=1", "x1"),
            ("a=x/b=2", "x2"),
        ]
        assert [p["key"] for p in tasks["rendered"]["pieces"]] == ["day=2024-05-01", "day=2024-01-01"]
        _, text, _ = home.cli("plan", "nested", "--conf", "{}", "--logical-date", "2024-05-01")
        assert "ship: 2 pieces, batches of 6 items ([core] max_map_length is 1,024)" in text

    def test_no_task_function_or_macro_of_the_author_is_called(self, home):
        home.file(
            "foreign",
            """
            @dag(schedule=None, start_date=START, user_defined_macros={"mine": lambda: tell("macro")})
            def foreign():
                @task
                def listed():
                    tell("task")
                    return [1]

                @task
                def work(x): ...

                def own(n):
                    tell("generator")
                    return [n]

                more = work.override
                work.expand(x=listed())
                more(task_id="function").expand(x=listed().map(lambda x: tell("map")))
                more(task_id="own").expand(x=generator(own)(1))
                more(task_id="rows").expand(x=sql_rows("warehouse", "SELECT 1 AS one"))
                more(task_id="chained").expand(x=work.override(task_id="before").expand(x=[1]))
                more(task_id="macro").expand(x=date_range("{{ mine() }}", "2024-01-02"))
                more(task_id="variable").expand(x=date_range("{{ var.value.start }}", "2024-01-02"))
                more(task_id="deep").expand(x=product(country=listed()))

            foreign()
            """,
        )
        status, _, tasks = self.plan(home, "foreign")
        assert status == 0
        assert {name for name, task in tasks.items() if task["pieces"] is not None} == {"before"}
        assert all(task["known_at_run_time"] for name, task in tasks.items() if name != "before")
        assert tasks["work"]["known_at_run_time"] == "it is mapped over what listed returns, a task of yours"
        assert home.told() == []

    def test_more_pieces_than_max_are_exit_status_1_and_so_is_a_plan_that_would_fail(self, home):
        home.file(
            "long",
            """
            @dag(schedule=None, start_date=START)
            def long():
                @task
                def work(day): ...

                work.expand(day=date_range("{{ '2020-01-01' }}", "2023-12-31"))

            long()
            """,
        )
        home.file("flights", FLIGHTS)
        assert home.cli("plan", "flights", "--max", "2")[0] == 0
        status, _, errors = home.cli("plan", "flights", "--max", "1")
        assert (status, errors) == (1, "load has 2 pieces, more than --max 1.\n")
        status, text, _ = home.cli("plan", "long")
        assert status == 1
        assert (
            "work: the run would fail: the days from '2020-01-01' to '2023-12-31' are 1,461 pieces"
            in flat(text)
        )
        assert "batch_size=2" in flat(text)

    def test_it_needs_no_database(self, home, monkeypatch):
        home.file("flights", FLIGHTS)
        monkeypatch.setattr(settings, "engine", create_engine("sqlite:////nowhere/at/all.db"))
        assert home.json("plan", "flights")[0] == 0


@pytest.fixture(scope="module")
def webserver(metadata_db, tmp_path_factory):
    """Serve Airflow's REST API from the tests' own database, and give its address."""
    with serving(tmp_path_factory.mktemp("api")) as address:
        yield address


@pytest.fixture
def api(webserver, monkeypatch):
    """Return the arguments that ask the API, whose user the environment names."""
    monkeypatch.setenv("MAPPING_KIT_API_USER", "quagga")
    monkeypatch.setenv("MAPPING_KIT_API_PASSWORD", "zyzzyva")
    return ("--api", webserver)


EXACT = pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2's API clears whole tasks")


class TestApi:
    @pytest.mark.parametrize(
        ("dag_id", "text", "broken"),
        [
            ("flights", FLIGHTS, ["EWR 2024-01-02"]),
            pytest.param("stepwise", STEPS, ["check 2"], marks=EXACT),
            pytest.param("shop", SHOP, ["order 3", "order 17"], marks=EXACT),
        ],
    )
    def test_it_clears_the_same_instances_as_beside_the_database(self, home, api, dag_id, text, broken):
        home.file(dag_id, text)
        home.broken(*broken)
        run_id = home.run(dag_id, logical_date=pendulum.datetime(2024, 1, 3, 7))
        beside = home.json("retry", dag_id, run_id, "--dry-run")
        assert beside[1]["would_be_cleared"] != []
        assert home.json("retry", dag_id, run_id, "--dry-run", *api) == beside
        before = home.instances(dag_id, run_id)
        status, found = home.json("retry", dag_id, run_id, "--yes", *api)
        assert (status, found["cleared"]) == (0, beside[1]["would_be_cleared"])
        after = home.instances(dag_id, run_id)
        assert {place for place in after if after[place] != before[place]} == {
            (one["task"], one["map_index"]) for one in found["cleared"]
        }
        assert DagRun.find(dag_id=dag_id, run_id=run_id)[0].state == "queued"

    @EXACT
    def test_of_a_batch_only_what_failed_runs_again_unless_all_is_to(self, home, api):
        home.file("shop", SHOP)
        home.broken("order 3")
        run_id = home.run("shop", logical_date=pendulum.datetime(2024, 1, 3, 8))
        home.told()
        assert home.cli("retry", "shop", run_id, "--yes", *api)[0] == 0
        home.again("shop", run_id)
        assert home.told() == ["order 3"]
        home.broken()
        assert home.cli("retry", "shop", run_id, "--yes", "--fresh", *api)[0] == 0
        home.again("shop", run_id)
        assert home.told() == sorted(f"order {n}" for n in range(1, 11))

    @EXACT
    def test_a_key_or_a_label_stands_for_one_piece(self, home, api):
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02", "JFK 2024-01-02")
        run_id = home.run("flights", logical_date=pendulum.datetime(2024, 1, 3, 9))
        for key in ("date=2024-01-02/origin=JFK", "JFK 2024-01-02"):
            _, found = home.json("retry", "flights", run_id, "--key", key, "--dry-run", *api)
            assert [(one["task"], one["map_index"]) for one in found["would_be_cleared"]] == [
                ("load", 1),
                ("collect_load", -1),
                ("publish", -1),
            ]
        status, _, errors = home.cli("retry", "flights", run_id, "--key", "JFK 2024-01-03", *api)
        assert (status, "Did you mean JFK 2024-01-02" in flat(errors)) == (2, True)

    @EXACT
    def test_what_a_timeout_left_undone_is_retried(self, home, api):
        home.file("flights", FLIGHTS)
        run_id = home.run("flights", logical_date=pendulum.datetime(2024, 1, 3, 10))
        home.change("flights", run_id, "load", 1, state="skipped", end_date=None)
        _, found = home.json("status", "flights", run_id, *api)
        assert [row["state"] for row in found["tasks"][0]["results"]] == ["success", "not_started"]
        _, found = home.json("retry", "flights", run_id, "--dry-run", *api)
        assert found["would_be_cleared"][0] == {"task": "load", "map_index": 1, "was": "not_started"}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["status", "flihgts", "latest"], "There is no DAG 'flihgts' there. Did you mean flights"),
            (["status", "flights", "nothing"], "The DAG 'flights' has no run 'nothing'."),
            (["status", "flights", "latest", "laod"], "has no task 'laod'. Did you mean load?"),
            (["retry", "flights", "latest", "publish"], "publish is not mapped, so it has no pieces."),
            pytest.param(
                ["retry", "flights", "latest", "--key", "EWR 2024-01-01"],
                "No piece of load has the key" if AIRFLOW_3 else "--key needs the database",
            ),
        ],
        ids=lambda value: value[-1] if isinstance(value, list) else "",
    )
    def test_what_it_does_not_know_or_cannot_do_is_said(self, home, api, arguments, said):
        home.file("flights", FLIGHTS)
        airflows.Run(home.dag("flights"), logical_date=START.add(seconds=next(SECONDS)))
        status, text, errors = home.cli(*arguments, *api)
        assert (status, text) == (2, "")
        assert said in flat(errors)

    def test_a_wrong_password_is_said(self, home, api, monkeypatch):
        monkeypatch.setenv("MAPPING_KIT_API_PASSWORD", "quokka")
        status, text, errors = home.cli("status", "flights", "latest", *api)
        assert (status, text) == (2, "")
        # Airflow 2.11 takes somebody with a wrong password for nobody.
        assert re.search(r"127\.0\.0\.1 refuses \(40[13]\): sign in with MAPPING_KIT_API_TOKEN", flat(errors))


class LateAnswer(io.StringIO):
    """Answers with yes, after something has happened."""

    def __init__(self, happened):
        super().__init__()
        self._happened = happened

    def readline(self, *_):
        self._happened()
        return "y\n"


@pytest.fixture(params=["beside the database", "through the API"])
def way(request):
    """Return the arguments that clear in one of the two ways."""
    return request.getfixturevalue("api") if request.param == "through the API" else ()


class TestALateAnswer:
    @pytest.fixture
    def asked(self, home, way, monkeypatch):
        """Return a function that retries a run of flights, and says yes when something has happened."""
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02", "JFK 2024-01-02")
        moment = START.add(days=2, seconds=next(SECONDS))
        run_id = home.run("flights", logical_date=moment)
        home.told()

        def retry(happened):
            monkeypatch.setattr("sys.stdin", LateAnswer(lambda: happened(run_id)))
            status, text, errors = home.cli("retry", "flights", run_id, *way)
            return run_id, status, flat(text), flat(errors)

        return retry

    @staticmethod
    def colleague(run_id, *arguments):
        with contextlib.redirect_stdout(io.StringIO()):
            commands.main(["retry", "flights", run_id, "--yes", *arguments], standalone_mode=False)

    def test_does_nothing_where_all_has_run_again_meanwhile(self, home, asked):
        instances = {}

        def happened(run_id):
            self.colleague(run_id)
            home.broken()
            home.again("flights", run_id)
            home.change_run("flights", run_id, state="success")
            instances.update(home.instances("flights", run_id))
            assert home.told() == ["EWR 2024-01-02", "JFK 2024-01-02"]

        run_id, status, text, errors = asked(happened)
        assert (status, errors) == (0, "")
        assert "Clear these 4 instances? [y/N]" in text
        assert text.endswith("Nothing is left to clear: what failed runs again already, or has run.")
        assert {state for state, *_ in instances.values()} == {"success"}
        assert home.instances("flights", run_id) == instances
        assert DagRun.find(dag_id="flights", run_id=run_id)[0].state == "success"

    def test_clears_what_is_left_and_what_follows(self, home, asked):
        def happened(run_id):
            self.colleague(run_id, "--key", "EWR 2024-01-02")
            home.broken("JFK 2024-01-02")
            home.again("flights", run_id)
            home.change_run("flights", run_id, state="failed")
            assert home.told() == ["EWR 2024-01-02"]

        run_id, status, text, _ = asked(happened)
        assert status == 0
        assert text.endswith("3 instances cleared: they run as soon as there is room.")
        states = {place: state for place, (state, *_) in home.instances("flights", run_id).items()}
        assert states == {
            ("reload_partitions", -1): "success",
            ("load", 0): "success",
            ("load", 1): None,
            ("collect_load", -1): None,
            ("publish", -1): None,
        }

    def test_does_not_disturb_a_run_that_goes_on_by_now(self, home, asked):
        instances = {}

        def happened(run_id):
            self.colleague(run_id, "--key", "EWR 2024-01-02")
            home.change_run("flights", run_id, state="running")
            home.change("flights", run_id, "load", 0, state="running")
            instances.update(home.instances("flights", run_id))

        run_id, status, _, errors = asked(happened)
        assert status == 2
        assert f"The run {run_id} is running" in errors
        assert "If that is meant, say --yes" in errors
        assert home.instances("flights", run_id) == instances


def audited(run_id):
    """Return what the audit log has of commands on a run: event, user, and what else is known of it."""
    with create_session() as session:
        rows = session.query(Log).filter_by(run_id=run_id).filter(Log.event.like("cli%")).order_by(Log.id)
        return [(row.event, row.owner, json.loads(row.extra)) for row in rows]


class TestTheAuditLog:
    def test_says_who_has_cleared_what(self, home, monkeypatch):
        monkeypatch.setenv("LOGNAME", "quagga")
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02")
        run_id = home.run("flights", logical_date=START.add(days=2, seconds=next(SECONDS)))
        assert home.cli("retry", "flights", run_id, "--dry-run")[0] == 0
        assert audited(run_id) == []
        assert home.cli("retry", "flights", run_id, "--yes")[0] == 0
        ((event, owner, extra),) = audited(run_id)
        assert (event, owner) == ("cli_mapping_kit_retry", "quagga")
        assert extra == {
            "host_name": socket.gethostname(),
            "full_command": f"['mapping-kit', 'retry', 'flights', '{run_id}', '--yes']",
            "cleared": {"load": [0], "collect_load": [-1], "publish": [-1]},
        }
        # There is nothing more to clear.
        assert home.cli("retry", "flights", run_id, "--yes")[0] == 0
        assert len(audited(run_id)) == 1

    def test_is_written_with_what_is_cleared_or_not_at_all(self, home):
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02")
        run_id = home.run("flights", logical_date=START.add(days=2, seconds=next(SECONDS)))
        before = home.instances("flights", run_id)

        def refuse(*_):
            raise OperationalError("INSERT INTO log", {}, Exception("disk full"))

        event.listen(Log, "before_insert", refuse)
        try:
            status, _, errors = home.cli("retry", "flights", run_id, "--yes")
        finally:
            event.remove(Log, "before_insert", refuse)
        assert (status, "disk full" in errors) == (2, True)
        assert home.instances("flights", run_id) == before
        assert audited(run_id) == []

    def test_has_a_row_of_the_webserver_where_it_clears(self, home, api):
        home.file("flights", FLIGHTS)
        home.broken("EWR 2024-01-02")
        run_id = home.run("flights", logical_date=START.add(days=2, seconds=next(SECONDS)))
        assert home.cli("retry", "flights", run_id, "--yes", *api)[0] == 0
        with create_session() as session:
            rows = session.query(Log).filter(Log.event.like("%post_clear_task_instances"))
            newest = rows.order_by(Log.id.desc()).first()
            assert (newest.dag_id, newest.owner) == ("flights", "quagga")
            assert '"publish"' in newest.extra


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["status", "flihgts", "latest"], "There is no DAG 'flihgts' in {folder}. Did you mean flights?"),
            (["plan", "flihgts"], "There is no DAG 'flihgts' in {folder}. Did you mean flights?"),
            (["status", "flights", "run-x"], "The DAG 'flights' has no run 'run-x'. Did you mean {run}?"),
            (["status", "stepwise", "latest"], "The DAG 'stepwise' has no runs yet."),
            (
                ["status", "flights", "{run}", "laod"],
                "The DAG 'flights' has no task 'laod'. Did you mean load?",
            ),
            (
                ["retry", "flights", "{run}", "publish"],
                "publish is not mapped, so it has no pieces. Mapped in flights: load.",
            ),
            (["plan", "flights", "--conf", "{{mode: custom}}"], "--conf '{{mode: custom}}' is not JSON"),
            (["plan", "flights", "--conf", "[1]"], "--conf '[1]' is no JSON object"),
            (["plan", "flights", "--conf", '{{"mode": "some"}}'], "The params of flights refuse this run"),
            (["plan", "flights", "--logical-date", "soon"], "--logical-date 'soon' is no date"),
            (["plan", "unmapped"], "The DAG 'unmapped' has no mapped task"),
            (["status", "flights", "{run}", "--api", "airflow:8080"], "--api 'airflow:8080' is no address"),
            (["status", "flights", "{run}", "--api", "http://me:pw@127.0.0.1"], "--api has a password in it"),
            (["status", "flights", "{run}", "--api", "http://127.0.0.1:9"], "can't be reached"),
        ],
        ids=lambda value: value[-1] if isinstance(value, list) else "",
    )
    def test_what_is_wrong_is_said_in_one_sentence_with_the_way_out(self, home, arguments, said):
        home.file("flights", FLIGHTS)
        home.file("stepwise", STEPS)
        home.file("unmapped", "with DAG('unmapped', schedule=None, start_date=START): ...")
        with create_session() as session:
            session.query(DagRun).filter(DagRun.dag_id.in_(["flights", "stepwise"])).delete()
        dag_run = airflows.Run(home.dag("flights"), logical_date=START).dag_run
        names = {"folder": home.folder, "run": dag_run.run_id}
        status, text, errors = home.cli(*(one.format(**names) for one in arguments))
        assert (status, text) == (2, "")
        assert flat(errors).startswith("Error: ")
        assert said.format(**names) in flat(errors)
        assert all(len(line) <= 80 or " " not in line for line in errors.splitlines())

    def test_a_folder_without_any_dag_is_asked_whether_it_is_the_one(self, home):
        status, text, errors = home.cli("plan", "flights")
        assert (status, text) == (2, "")
        assert f"There is no DAG 'flights' in {home.folder}, and no other DAG: is it the folder" in flat(
            errors
        )
        assert "See AIRFLOW_HOME and [core] dags_folder." in flat(errors)

    def test_a_file_that_cannot_be_imported_is_named_with_the_last_line_of_its_error(self, home):
        path = home.file("flights", FLIGHTS)
        home.run("flights")
        path.write_text("import not_there  # of airflow, for a dag\n")
        status, _, errors = home.cli("status", "flights", "latest")
        assert status == 2
        assert f"The file of the DAG 'flights' can't be imported: {path}: ModuleNotFoundError" in flat(errors)
        assert "No module named 'not_there'" in flat(errors)

    @pytest.mark.parametrize(
        ("address", "said"),
        [
            ("sqlite:////nowhere/at/all.db", "can't be asked: unable to open database file"),
            ("sqlite:///{folder}/empty.db", "sql_alchemy_conn, or ask its webserver with --api."),
            ("postgresql://me:secret@127.0.0.1:9/runs", "me:***@127.0.0.1:9/runs can't be asked"),
        ],
    )
    def test_without_a_database_one_sentence_says_so_without_its_password(
        self, home, monkeypatch, address, said
    ):
        home.file("flights", FLIGHTS)
        monkeypatch.setattr(settings, "engine", create_engine(address.format(folder=home.folder)))
        for command in ("status", "retry"):
            status, text, errors = home.cli(command, "flights", "latest")
            assert (status, text) == (2, "")
            assert said in flat(errors)
            assert "secret" not in errors
            assert "Traceback" not in errors

    def test_what_dag_files_print_stays_out_of_the_answer(self, home):
        home.file("flights", FLIGHTS + '\nprint("hello from the file")\n')
        _, text, errors = home.cli("plan", "flights", "--output", "json")
        assert json.loads(text)["dag_id"] == "flights"
        assert "hello from the file" in errors

    def test_control_characters_of_keys_do_not_reach_the_terminal(self, home):
        home.file(
            "odd",
            """
            @dag(schedule=None, start_date=START)
            def odd():
                @task(map_index_template=label("{x}"))
                def work(x): ...

                work.expand(x=["[red]a[/]", "\\x1b[31mb"])

            odd()
            """,
        )
        _, text, _ = home.cli("plan", "odd")
        assert "\x1b" not in text
        assert "[red]a[/]" in text


@pytest.mark.parametrize("command", [[], ["plan"], ["status"], ["retry"]])
def test_help_says_the_exit_statuses_and_fits_80_columns(home, command):
    status, text, _ = home.cli(*command, "--help")
    assert status == 0
    assert "Exit status:" in text
    assert max(map(len, text.splitlines())) <= 80


SESSIONS = [
    block["text"]
    for block in BLOCK.finditer((ROOT / "docs" / "command_line.md").read_text())
    if block["language"] == "console"
]


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.split()[3])
def test_the_documentation_shows_what_the_command_prints(home, monkeypatch, session):
    # As on Airflow 2, where that is all there is.
    monkeypatch.setenv("AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS", "True")
    monkeypatch.setattr(settings, "DAGS_FOLDER", str(ROOT / "dags"))
    typed = re.match(r"\$ mapping-kit (?P<line>(?:.*\\\n)*.*)\n", session)
    _, text, errors = home.cli(*shlex.split(typed["line"].replace("\\\n", " ")))
    assert text + errors == session[typed.end() :]


@pytest.mark.parametrize("command", ["plan", "status", "retry"])
def test_every_option_is_in_the_documentation(command):
    page = (ROOT / "docs" / "command_line.md").read_text()
    options = [
        name for option in commands.commands[command].params for name in option.opts if name[:2] == "--"
    ]
    assert f"mapping-kit {command} " in page
    assert [name for name in options if name not in page] == []
