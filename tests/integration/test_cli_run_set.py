"""`mapping-kit run set` as people type it: beside the database, and through the webserver."""

from __future__ import annotations

import json
import sys

import pytest
from airflow import settings
from airflow.models.dag import DagModel

import airflows
import sites
from airflow_mapping_kit.cli.program import main
from airflow_mapping_kit.compat import AIRFLOW_3, dag_folders, read_dags
from written import Written, at

FILE = """
from __future__ import annotations
import pendulum
from airflows import dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched

@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def shipped():
    @batched(concurrency=4, rate="100/m")
    def ship(order):
        return order

    @task
    def alone(number):
        return number

    ship.expand(order=batches([1, 2, 3, 4], batch_size=2))
    alone.expand(number=[1])

shipped()
"""


@pytest.fixture
def run(metadata_db, tmp_path, monkeypatch):
    """Give a DAG file, and a run of it that is at work."""
    monkeypatch.setattr(settings, "DAGS_FOLDER", str(tmp_path))
    with airflows.create_session() as session:
        session.query(DagModel).update({"relative_fileloc" if AIRFLOW_3 else "fileloc": ""})
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "shipped.py").write_text(FILE)
    (folder,) = dag_folders()
    dag = read_dags(folder)[0]["shipped"]
    sites.publish(dag)
    written = Written(dag)
    run = written.run("at_work", started=at(0), ended=None, state="running")
    written.xcom(run, "batches", [[1, 2], [3, 4]])
    written.instance(run, "ship", 0, "running", start=at(0), end=None)
    written.instance(run, "ship", 1, None, start=None, end=None)
    written.flush(anew=True)
    return "at_work"


@pytest.fixture
def cli(run, capsys, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mapping-kit", "run", "set", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code, said.out, " ".join(said.err.split())

    return call


def values(text):
    return {one["name"]: one["value"] for one in json.loads(text)["settings"]}


def test_it_shows_what_holds_and_who_said_so(cli):
    status, text, _ = cli("shipped", "latest", "ship", "--pause", "--concurrency", "8")
    assert status == 0
    lines = text.splitlines()
    assert lines[0] == "shipped, run at_work: running"
    assert lines[2].split() == ["setting", "holds", "the", "DAG", "says", "changed", "by", "at"]
    assert lines[3].split()[:3] == ["concurrency", "8", "4"]
    assert lines[6].split()[:3] == ["paused", "yes", "no"]
    assert "1 instance of ship at work, 1 to come: those at work follow within five" in text
    assert values(cli("shipped", "at_work", "ship", "--output", "json")[1]) == {
        "concurrency": 8,
        "stop_after": None,
        "rate": "100/m",
        "paused": True,
    }
    status, text, _ = cli(
        "shipped", "at_work", "ship", "--reset", "--stop-after", "5", "--rate", "none", "--output", "json"
    )
    assert (status, values(text)) == (0, {"concurrency": 4, "stop_after": 5, "rate": None, "paused": False})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("shipped", "at_work", "ship", "--rate", "fast"),
            "rate='fast' is not a rate: write calls per second",
        ),
        (("shipped", "at_work", "ship", "--concurrency", "0"), "concurrency='0': give a whole number from 1"),
        (("shipped", "at_work", "ship", "--pause", "--resume"), "--pause and --resume contradict each other"),
        (("shipped", "at_work", "ship", "--resume", "--pause", "--rate", "1/s"), "give one of them"),
        (("shipped", "at_work", "alone", "--pause"), "alone is not a batched task"),
        (("shipped", "at_work", "nobody", "--pause"), "no task 'nobody' that works on batches"),
        (("shipped", "never", "ship", "--pause"), "has no run 'never'"),
        (("nothing", "at_work", "ship", "--pause"), "There is no DAG 'nothing'"),
        (
            ("shipped", "at_work", "ship", "--tolerated-failure-percentage", "5"),
            "Nothing collects ship, so there is no fan-in that could tolerate failures.",
        ),
        (("shipped", "at_work", "ship", "--pause", "--api", "nowhere"), "is no address"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(cli, arguments, said):
    status, text, errors = cli(*arguments)
    assert (status, text) == (2, "")
    assert said in errors
