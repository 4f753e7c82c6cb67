"""What few items of many batches left undone is worked on by a new run, in few batches, and by nothing else."""

from __future__ import annotations

import json
import logging
import sys
import textwrap

import pendulum
import pytest
from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log

import airflows
from airflow_mapping_kit.cli.program import main
from airflow_mapping_kit.compat import dag_folders, read_dags, trigger_like
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.history import history
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.redrive.again import Again
from airflows import AIRFLOW_3, create_session

START = pendulum.datetime(2024, 1, 1)
HEAD = """
import json
from pathlib import Path
import pendulum
from airflows import DAG, Param, dag, task, task_group
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, generator
from airflow_mapping_kit.operators.batched import batched

BROKEN = Path(__file__).with_name("broken.json")
START = pendulum.datetime(2024, 1, 1)

def tell(name, shown=""):
    with Path(__file__).with_name("told.txt").open("a") as file:
        file.write(f"{name}{shown}\\n")
    if str(name) in json.loads(BROKEN.read_text()):
        raise ValueError(f"{name} is broken")
    return name
"""
SHOP = """
@dag(schedule="@daily", start_date=START, catchup=False, params={"shop": Param("main", type="string")})
def shop():
    @generator
    def orders():
        tell("orders")
        return [f"o{n}" for n in range(30)]

    @generator
    def others():
        tell("others")
        return ["x", "y"]

    @batched(concurrency=2)
    def ship(order, params, data_interval_start):
        return tell(order, f" {params['shop']} {data_interval_start:%Y-%m-%d}")

    @batched(concurrency=2, trigger_rule="all_done")
    def bill(order):
        tell(f"bill {order}")

    @task
    def one(x):
        tell(f"one {x}")

    @task
    def before():
        tell("before")

    shipped = ship.expand(order=batches(orders(), batch_size=5))
    collect(shipped, task_id="all_shipped")
    collect(bill.expand(order=shipped), task_id="all_billed", tolerated_failure_percentage=100)
    collect(one.expand(x=others()), task_id="all_others")
    before() >> shipped

shop()
"""


# What is larger than an XCom may be: batches are slices there, and their results parts.
WIDE = """
@dag(schedule=None, start_date=START)
def wide():
    @generator
    def orders():
        tell("orders")
        for n in range(1000):
            yield {"id": n, "text": "x" * 300}

    @batched(concurrency=4)
    def ship(order):
        return tell(f"o{order['id']}")

    @batched(trigger_rule="all_done")
    def bill(order):
        return tell(f"bill {order}")

    shipped = ship.expand(order=orders.override(key="id", batch_size=250)())
    collect(bill.expand(order=shipped), tolerated_failure_percentage=100)

wide()
"""


class Waiting:
    """A run of a file's DAG of which nothing was done."""

    def __init__(self, home, dag_id, **options):
        self.run_id = airflows.Run(home.read(dag_id), **options).dag_run.run_id
        self.dag_id = dag_id

    def ended(self):
        with create_session() as session:
            session.query(DagRun).filter_by(dag_id=self.dag_id, run_id=self.run_id).update(
                {"state": "failed"}
            )
        return self


class Home:
    """A folder of DAG files, and the command run on it."""

    def __init__(self, folder, capsys, monkeypatch):
        self.folder = folder
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def file(self, dag_id, text, *broken):
        (self.folder / f"{dag_id}.py").write_text(f"{HEAD}\n{textwrap.dedent(text)}")
        self.broken(*broken)

    def broken(self, *names):
        (self.folder / "broken.json").write_text(json.dumps(names))

    def told(self):
        """Return what was worked on since this was asked last."""
        path = self.folder / "told.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(lines)

    def run(self, dag_id, **options):
        """Run a DAG to its end."""
        logging.disable(logging.CRITICAL)
        try:
            return airflows.dag_test(self.read(dag_id), **options)
        finally:
            logging.disable(logging.NOTSET)

    def read(self, dag_id):
        (folder,) = dag_folders()
        dag = read_dags(folder)[0][dag_id]
        airflows.store(dag)
        if not AIRFLOW_3:
            from airflow.models.serialized_dag import SerializedDagModel

            SerializedDagModel.write_dag(dag)
        return dag

    def go_on(self, dag_id, run_id):
        """Run to its end a run that waits, as the scheduler would; it gets another id by that."""
        (waiting,) = DagRun.find(dag_id=dag_id, run_id=run_id)
        assert waiting.state == "queued"
        with create_session() as session:
            session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).delete()
        return self.run(dag_id, logical_date=waiting.logical_date, run_conf=waiting.conf)

    def cli(self, *arguments):
        self._monkeypatch.setattr(sys, "argv", ["mapping-kit", *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = self._capsys.readouterr()
        return end.value.code, " ".join(said.out.split()), " ".join(said.err.split())

    def json(self, *arguments):
        self._monkeypatch.setenv("COLUMNS", "1000")
        status, text, errors = self.cli(*arguments, "--output", "json")
        assert (status, errors) == (0, "")
        return json.loads(text)


@pytest.fixture
def home(metadata_db, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(settings, "DAGS_FOLDER", str(tmp_path))
    with create_session() as session:
        # The files of other tests are there yet.
        session.query(DagModel).update({"relative_fileloc" if AIRFLOW_3 else "fileloc": ""})
    return Home(tmp_path, capsys, monkeypatch)


def states(run):
    return {(one.task_id, one.map_index): one.state for one in run.get_task_instances()}


def test_items_that_failed_in_many_batches_are_worked_on_in_one_by_a_run_that_does_nothing_else(home):
    home.file("shop", SHOP, "o3", "o14", "o17", "o18", "bill o29")
    run = home.run("shop", logical_date=pendulum.datetime(2024, 1, 5), run_conf={"shop": "second"})
    assert len([one for one in home.told() if one.startswith("o") and one[1].isdigit()]) == 30
    home.broken("o18")

    _, text, _ = home.cli("retry", "shop", run.run_id, "--dry-run")
    assert "4 items of ship are spread over 3 batches, and each is an instance. With --repacked" in text
    shown = home.json("retry", "shop", run.run_id, "--repacked", "--dry-run")["would_be_started"]
    work = {
        "generator": "batches", "task": "ship, bill", "items": 5, "of_batches": 4, "batches": 1, "batch_size": 5
    }  # fmt: skip
    assert shown["works_on"] == [work]
    assert set(shown["others"]) == {"before", "all_shipped", "all_billed", "all_others"}
    started = home.json("retry", "shop", run.run_id, "--repacked", "--yes")["started"]
    assert started == shown
    _, _, errors = home.cli("retry", "shop", run.run_id, "--repacked", "--yes")
    assert "works on them already: it is queued" in errors

    (waiting,) = DagRun.find(dag_id="shop", run_id=started["run_id"])
    assert waiting.conf == {
        "shop": "second",
        "mapping_kit_again": {"run": run.run_id, "of": ["ship", "bill"]},
    }
    assert waiting.logical_date - run.logical_date == pendulum.duration(microseconds=1)
    assert (waiting.data_interval_start, waiting.data_interval_end) == (
        run.data_interval_start,
        run.data_interval_end,
    )
    with create_session() as session:
        (noted,) = session.query(Log).filter_by(dag_id="shop", run_id=started["run_id"])
        assert json.loads(noted.extra)["start"] == waiting.conf
        assert noted.event == "cli_mapping_kit_retry"

    again = home.go_on("shop", started["run_id"])
    day = f"{again.data_interval_start:%Y-%m-%d}"
    items = ["o14", "o17", "o18", "o29", "o3"]
    assert home.told() == sorted(
        [
            "before",
            *(f"{one} second {day}" for one in items),
            *(f"bill {one}" for one in items if one != "o18"),
        ]
    )
    became = states(again)
    assert {place: state for place, state in became.items() if place[1] >= 0} == {
        ("ship", 0): "failed",
        ("bill", 0): "success",
    }
    assert became["orders", -1] == "success"
    assert became["others", -1] == became["one", -1] == "skipped"

    # What it has not done, it does itself.
    home.broken()
    assert "1 item of ship runs again, in 1 batch." in home.cli("retry", "shop", again.run_id, "--dry-run")[1]
    found = history(again.dag, "ship")
    letters = {found.key(cell): chr(code) for cell, code in enumerate(found.letters)}
    # Other tests have a DAG of this name, whose orders are numbers.
    assert {key for key, letter in letters.items() if letter == "f" and key[:7] == "order=o"} == {"order=o18"}


CHAIN = """
@dag(schedule=None, start_date=START)
def chain():
    @batched
    def first(x):
        return tell(x)

    @batched
    def second(x):
        return tell(f"second {x}")

    @task
    def alone(x):
        return tell(x)

    second.expand(x=first.expand(x=batches(["a", "b"], batch_size=1)))
    alone.expand(x=["c", "d"])

    @task_group
    def steps(x):
        @batched
        def load(x):
            return tell(x)

        return load(x)

    steps.expand(x=batches.override(task_id="of_steps")([{"n": n} for n in (1, 2, 3, 3)], batch_size=2))

chain()
"""
PAST = """
with DAG("past", schedule=None, start_date=START) as dag:
    @batched(depends_on_past=True)
    def work(x):
        return x

    work.expand(x=batches([1, 2], batch_size=1))
"""


def test_what_a_new_run_would_not_mend_alone_is_refused_and_said(home):
    home.file("chain", CHAIN, "a", "c", "{'n': 3}")
    run = home.run("chain")
    _, _, errors = home.cli("retry", "chain", run.run_id, "--repacked", "--yes")
    assert "second was never begun in the run" in errors
    assert "Retry what failed in that run itself" in errors
    _, _, errors = home.cli("retry", "chain", run.run_id, "alone", "--repacked", "--yes")
    assert "What failed belongs to alone, which takes no batches directly from a generator" in errors
    status, _, errors = home.cli("retry", "chain", run.run_id, "--repacked", "--key", "a")
    assert (status, "--repacked takes neither --key nor --fresh" in errors) == (2, True)
    status, _, errors = home.cli("retry", "chain", run.run_id, "--repacked", "--api", "http://localhost:1")
    assert (status, "which Airflow's API doesn't return. Run it where Airflow is" in errors) == (2, True)

    shown = home.json("retry", "chain", run.run_id, "first", "--repacked", "--dry-run")["would_be_started"]
    assert (shown["works_on"][0]["items"], shown["others"]) == (1, ["alone"])
    # Equal items are items of their own.
    shown = home.json("retry", "chain", run.run_id, "steps", "--repacked", "--dry-run")["would_be_started"]
    assert (shown["works_on"][0]["task"], shown["works_on"][0]["items"]) == ("steps", 2)
    with create_session() as session:
        session.query(DagRun).filter_by(dag_id="chain").update({"state": "running"})
    _, _, errors = home.cli("retry", "chain", run.run_id, "first", "--repacked", "--yes")
    assert "is running, so it is not known yet what it leaves undone" in errors
    assert len(DagRun.find(dag_id="chain")) == 1


def test_a_task_that_depends_on_the_run_before_is_not_made_to_wait_for_the_one_that_failed(home):
    home.file("past", PAST)
    run = Waiting(home, "past").ended()
    _, _, errors = home.cli("retry", "past", run.run_id, "--repacked", "--yes")
    assert "work has depends_on_past" in errors


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no runs without a date")
def test_a_run_that_stands_for_no_time_has_one_like_it(home):
    home.file("past", PAST)
    run = Waiting(home, "past", due=pendulum.datetime(2024, 1, 5)).ended()
    assert trigger_like("past", "redrive__1", run.run_id, {"a": 1}, user="ann")
    assert not trigger_like("past", "redrive__1", run.run_id, {"a": 1}, user="ann")
    (made,) = DagRun.find(dag_id="past", run_id="redrive__1")
    assert (made.logical_date, made.data_interval_start, made.conf, made.triggering_user_name) == (
        None, None, {"a": 1}, "ann"
    )  # fmt: skip


def test_what_a_person_says_in_place_of_a_run_that_was_is_refused_or_means_nothing(run_of):
    assert (
        Again.of(None) is Again.of({"mapping_kit_again": "x"}) is Again.of({"mapping_kit_again": {}}) is None
    )
    assert Again.of(Again("r", ("a", "b")).within({"shop": 1})) == Again("r", ("a", "b"))
    with airflows.DAG("nowhere", schedule=None, start_date=START) as dag:

        @generator
        def items():
            raise AssertionError

        @batched
        def work(x):
            return x

        work.expand(x=items.override(batch_size=2)())
    run = run_of(dag, conf=Again("another", ("work",)).within({}))
    assert run.run("items") == ("failed", None)


@pytest.mark.parametrize("stored", [False, True])
def test_items_of_batches_that_are_kept_elsewhere_are_found_there(home, monkeypatch, tmp_path, stored):
    if stored:
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", f"file://{tmp_path}/kept")
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    failed = [*range(5, 1000, 100)]
    home.file("wide", WIDE, *(f"o{n}" for n in failed), "bill o7")
    run = home.run("wide")
    home.told()
    where = airflows.xcom_of(run, "orders")[0]["mapping_kit_items"][0]
    assert where.startswith("file:" if stored else "xcom:")
    assert "mapping_kit_part" in airflows.xcom_of(run, "ship", map_index=0)
    home.broken("o105")
    started = home.json("retry", "wide", run.run_id, "--repacked", "--yes")["started"]
    work = {
        "generator": "orders", "task": "ship, bill", "items": 11, "of_batches": 4, "batches": 1, "batch_size": 250
    }  # fmt: skip
    assert started["works_on"] == [work]
    again = home.go_on("wide", started["run_id"])
    items = [f"o{n}" for n in sorted([*failed, 7])]
    assert home.told() == sorted([*items, *(f"bill {one}" for one in items if one != "o105")])
    report = airflows.xcom_of(again, "collect_bill")
    assert (report["total"], report["succeeded"]) == (11, 10)
