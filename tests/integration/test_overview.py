"""All DAGs that have partitions, worst first, without reckoning again what has not changed."""

from __future__ import annotations

import itertools

import pendulum
import pytest
from airflow.models.dag import DagModel
from airflow.models.serialized_dag import SerializedDagModel

from airflow_mapping_kit import policy
from airflow_mapping_kit.compat import Asset
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import product
from airflow_mapping_kit.history.overview import overview
from airflow_mapping_kit.partitions import partition_key
from airflows import AIRFLOW_3, DAG, EmptyOperator, clear, create_session, store, task

START = pendulum.datetime(2024, 1, 1)
DAYS, ORIGINS = ["2024-01-01", "2024-01-02", "2024-01-03"], ["EWR", "JFK"]
_numbers = itertools.count()


def loader(name, *, fail=(), schedule=None, days=DAYS, **options):
    """Return a DAG that loads origins and days, under an id that no other test has."""
    with DAG(f"overview_{name}", schedule=schedule, start_date=START, **options) as dag:

        @task
        def load(partition):
            if partition_key(partition) in fail:
                raise ValueError(partition)

        collect(load.expand(partition=product(date=days, origin=ORIGINS)), tolerated_failure_count=9)
    return dag


@pytest.fixture
def run_whole(dag_test):
    """Return a function that runs a DAG which the database has as the web server finds it."""

    def run(dag):
        for one in dag.tasks:
            policy.task_policy(one)
        instances = dag_test(dag)
        if not AIRFLOW_3:
            SerializedDagModel.write_dag(dag)
        return instances

    return run


@pytest.fixture
def name(request):
    return f"{request.node.originalname}_{next(_numbers)}"


def shown(*dags, seconds=60.0):
    found = overview([dag.dag_id for dag in dags], seconds=seconds)
    return [one.dag_id.rpartition("_")[2] for one in found.dags], found


def test_the_worst_come_first_and_what_has_no_partitions_does_not_come(name, run_whole):
    dags = {
        "good": loader(f"{name}_good"),
        "bad": loader(f"{name}_bad", fail={"date=2024-01-01/origin=EWR"}),
        "worse": loader(f"{name}_worse", fail={f"date={day}/origin=EWR" for day in DAYS}),
        "never": loader(f"{name}_never"),
    }
    with DAG(f"overview_{name}_plain", schedule=None, start_date=START) as dags["plain"]:
        EmptyOperator(task_id="work")
    with DAG(
        f"overview_{name}_listed", schedule=None, start_date=START, dag_display_name="By a list"
    ) as dags["listed"]:

        @task
        def work(number): ...

        work.expand(number=[1, 2])
    for dag_id, dag in dags.items():
        store(dag) if dag_id == "never" else run_whole(dag)
    order, found = shown(*dags.values())
    assert (order, found.pending) == (["worse", "bad", "good", "listed"], 0)
    worst, bad, good, listed = found.dags
    assert (worst.counts, worst.partitions, worst.not_loaded) == ({"o": 3, "f": 3}, 6, 3)
    assert (bad.counts, good.counts, listed.counts) == ({"o": 5, "f": 1}, {"o": 6}, {"o": 2})
    assert (good.task, good.tasks, listed.name) == ("load", 1, "By a list")
    assert good.newest > bad.newest.replace(year=2000)
    # Whose DAGs may not be seen are not looked at.
    assert shown(dags["good"])[0] == ["good"]
    ids, asked = [dag.dag_id for dag in dags.values()], []
    found = overview(ids, lambda dag_id: asked.append(dag_id) or dag_id.endswith("worse"))
    assert [one.dag_id for one in found.dags] == [dags["worse"].dag_id]
    assert dags["plain"].dag_id not in asked
    assert overview([]) == ([], 0)


def test_what_has_not_changed_takes_six_queries_however_many_dags_there_are(name, run_whole, queries):
    dags = [loader(f"{name}_{number}", days=DAYS[:1]) for number in range(3)]
    for dag in dags:
        run_whole(dag)
    _, first = shown(*dags)
    counts = []
    for some in (dags[:1], dags):
        with queries() as counted:
            order, again = shown(*some)
        counts.append(counted.number)
    assert again == first
    assert counts == [6, 6]


def test_what_changes_is_reckoned_again_and_nothing_else(name, run_whole, tell, queries):
    asset, other = Asset(f"{name}_asset"), Asset(f"{name}_other")
    dags = [loader(f"{name}_follows", schedule=[asset]), loader(f"{name}_still")]
    instances = [run_whole(dag) for dag in dags]

    def read():
        with queries() as counted:
            _, found = shown(*dags)
        return {one.dag_id: one.counts for one in found.dags}, counted.number

    follows, still = (dag.dag_id for dag in dags)
    first, most = read()
    assert first == {follows: {"o": 6}, still: {"o": 6}}
    # Partitions of another asset concern nobody here: a query more says so, once.
    tell(other, "date=2024-01-01")
    assert read() == (first, 7)
    assert read() == (first, 6)
    tell(asset, "date=2024-01-01")
    found, number = read()
    assert found == {follows: {"o": 4, "t": 2}, still: {"o": 6}}
    assert 7 < number < most
    clear(dags[1], instances[1]["load", 0])
    assert read()[0][still] == {"o": 5, "q": 1}


def test_it_takes_a_bounded_time_and_says_what_it_did_not_get_to(name, run_whole):
    dags = [loader(f"{name}_{number}", days=DAYS[:1]) for number in range(3)]
    for dag in dags:
        run_whole(dag)
    seen = [shown(*dags, seconds=0) for _ in range(4)]
    assert [found.pending for _, found in seen] == [2, 1, 0, 0]
    assert [[one.counts for one in found.dags] for _, found in seen[:2]] == [
        [{"o": 2}, None, None],
        [{"o": 2}, {"o": 2}, None],
    ]


def test_of_several_mapped_tasks_the_worst_is_shown(name, run_whole):
    with DAG(f"overview_{name}", schedule=None, start_date=START) as dag:

        @task
        def good(number): ...

        @task
        def bad(number):
            raise ValueError(number)

        good.expand(number=[1, 2, 3])
        bad.expand(number=[1, 2])
    run_whole(dag)
    (one,) = shown(dag)[1].dags
    assert (one.task, one.tasks, one.counts) == ("bad", 2, {"f": 2})


def test_a_dag_that_cannot_be_read_is_shown_with_the_reason_and_the_others_too(name, run_whole):
    dags = [loader(f"{name}_good"), loader(f"{name}_broken")]
    for dag in dags:
        run_whole(dag)
    with create_session() as session:
        row = session.query(SerializedDagModel).filter_by(dag_id=dags[1].dag_id).one()
        row._data = {"__version": 99, "is_mapped": True}
        row.dag_hash = "0" * 32
    order, found = shown(*dags)
    assert (order, found.pending) == (["broken", "good"], 0)
    assert found.dags[0].trouble
    assert (found.dags[0].counts, found.dags[1].trouble) == ({}, None)
    with create_session() as session:
        session.query(SerializedDagModel).filter_by(dag_id=dags[1].dag_id).delete()
    assert shown(*dags)[0] == ["good"]


@pytest.mark.parametrize("paused", [True, False])
def test_paused_dags_are_shown_as_such_and_those_whose_file_is_gone_are_not(name, run_whole, paused):
    dags = [loader(f"{name}_{kind}") for kind in ("paused", "gone")]
    for dag in dags:
        run_whole(dag)
    with create_session() as session:
        session.get(DagModel, dags[0].dag_id).is_paused = paused
        gone = session.get(DagModel, dags[1].dag_id)
        if hasattr(gone, "is_stale"):
            gone.is_stale = True
        else:
            gone.is_active = False
    order, found = shown(*dags)
    assert (order, found.dags[0].paused) == (["paused"], paused)
