"""Partitions that were loaded before something changed that they are made from, by real runs and real events."""

from __future__ import annotations

import itertools

import pendulum
import pytest
from airflow.models.taskinstance import TaskInstance

from airflow_mapping_kit import policy
from airflow_mapping_kit.compat import Asset
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, product
from airflow_mapping_kit.history import history
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.partitions import partition_key
from airflow_mapping_kit.redrive.carry_out import carry_out
from airflow_mapping_kit.redrive.clearing import Actor
from airflow_mapping_kit.redrive.preview import preview
from airflows import DAG, create_session, run_alone, scheduler_dag, task, task_group

START = pendulum.datetime(2024, 1, 1)
DAYS, ORIGINS = ["2024-01-01", "2024-01-02", "2024-01-03"], ["EWR", "JFK"]
_numbers = itertools.count()


@pytest.fixture
def asset():
    return Asset(f"stale_asset_{next(_numbers)}")


def loader(asset, *, days=DAYS, fail=(), outlets=(), dag_id=None):
    """Return a DAG that loads origins and days, and is scheduled on an asset."""
    with DAG(dag_id or f"loads_{asset.uri}", schedule=[asset], start_date=START) as dag:

        @task(outlets=list(outlets))
        def load(partition):
            if partition_key(partition) in fail:
                raise ValueError(partition)

        collect(load.expand(partition=product(date=days, origin=ORIGINS)), tolerated_failure_count=9)
    return dag


def letters(dag, **options):
    """Return the rows of a history, a text of letters a day, the same of the DAG as the scheduler has it."""
    found = history(dag, **options)
    for one in dag.tasks:
        policy.task_policy(one)
    assert history(scheduler_dag(dag), **options).letters == found.letters
    width = len(found.dimensions[-1].values)
    text = found.letters.decode()
    return [text[start : start + width] for start in range(0, len(text), width)]


def test_what_was_loaded_before_its_upstream_changed_is_stale_until_it_is_loaded_again(asset, dag_test, tell):
    dag = loader(asset)
    tell(asset, "date=2024-01-01/origin=EWR")
    dag_test(dag)
    assert letters(dag) == ["oo", "oo", "oo"]
    tell(asset, "date=2024-01-01/origin=JFK", "date=2024-01-04/origin=JFK")
    assert letters(dag) == ["ot", "oo", "oo"]
    # All of a day, and a month that the day is in; what is finer than ours.
    tell(asset, "date=2024-01-02", "carrier=UA/date=2024-01-03T07/origin=EWR")
    assert letters(dag) == ["ot", "tt", "to"]
    found = history(dag)
    assert found.counts == {"o": 2, "t": 4}
    assert (found.notes, found.attempt(1).try_number) == ([], None)
    dag_test(loader(asset, days=DAYS[1:]))
    assert letters(dag) == ["ot", "oo", "oo"]


def test_what_failed_or_is_missing_stays_that_whatever_changed(asset, dag_test, tell):
    dag = loader(asset, fail={"date=2024-01-02/origin=EWR"})
    dag_test(dag)
    tell(asset, "date=2024-01-02")
    assert letters(dag) == ["oo", "ft", "oo"]


def test_what_is_stale_is_chosen_to_run_again_and_then_is_no_more(asset, dag_test, tell):
    dag = loader(asset)
    dag_test(dag)
    tell(asset, "date=2024-01-02/origin=JFK", "date=2024-01-03")
    found = history(dag)
    stale = [cell for cell, letter in enumerate(found.letters.decode()) if letter == "t"]
    assert [found.key(cell) for cell in stale] == [
        "date=2024-01-02/origin=JFK",
        "date=2024-01-03/origin=EWR",
        "date=2024-01-03/origin=JFK",
    ]
    shown = preview(found, "chosen", stale)
    (run,) = shown.runs
    assert [one.map_index for one in run.wanted.pieces] == stale
    assert preview(found, "failed").instances == preview(found, "missing").instances == 0
    carry_out(shown, Actor("mapping_kit_redrive", "ann", {}))
    # What waits to be loaded is not stale.
    assert letters(dag) == ["oo", "oq", "qq"]
    for cell in stale:
        run_alone(dag, found_instance(run.run_id, dag, cell))
    assert letters(dag) == ["oo", "oo", "oo"]


def found_instance(run_id, dag, map_index):
    with create_session() as session:
        wanted = {"dag_id": dag.dag_id, "run_id": run_id, "task_id": "load", "map_index": map_index}
        row = session.query(TaskInstance).filter_by(**wanted).one()
        session.expunge_all()
    return row


def test_a_run_shows_what_it_did_itself(asset, dag_test, tell):
    dag = loader(asset)
    run = next(iter(dag_test(dag).values())).run_id
    tell(asset, "date=2024-01-01")
    assert letters(dag) == ["tt", "oo", "oo"]
    assert letters(dag, run_id=run) == ["oo", "oo", "oo"]


def test_what_the_dag_changed_itself_makes_nothing_stale(asset, dag_test):
    dag = loader(asset, outlets=[asset], dag_id=f"changes_{asset.uri}")
    dag_test(dag)
    dag_test(dag)
    assert letters(dag) == ["oo", "oo", "oo"]


def test_of_pieces_that_were_at_work_when_it_changed_those_are_stale_that_had_begun(asset, run_of, tell):
    dag = loader(asset)
    run = run_of(dag)
    run.run("product")
    run.dag_run.task_instance_scheduling_decisions()
    for index in range(3):
        run.run_mapped("load", index)
    tell(asset, *(f"date={day}" for day in DAYS))
    for index in range(3, 6):
        run.run_mapped("load", index)
    assert letters(dag) == ["tt", "to", "oo"]
    # One of them again: it has read what is there now.
    instance = run.dag_run.get_task_instance("load", map_index=1)
    run_alone(dag, instance)
    assert letters(dag) == ["to", "to", "oo"]


def test_a_group_has_read_when_its_first_task_began(asset, run_of, tell):
    with DAG(f"loads_by_group_{asset.uri}", schedule=[asset], start_date=START) as dag:

        @task_group
        def each(date):
            @task
            def read(date):
                return date

            @task
            def write(date): ...

            write(read(date))

        each.expand(date=DAYS)
    run = run_of(dag)
    run.run_mapped("each.read", 0)
    tell(asset, "date=2024-01-01", "date=2024-01-02")
    run.run_mapped("each.write", 0)
    for index, name in itertools.product((1, 2), ("read", "write")):
        run.run_mapped(f"each.{name}", index)
    assert letters(dag) == ["too"]


def test_items_of_batches_are_stale_one_by_one(asset, dag_test, tell):
    with DAG(f"loads_batches_{asset.uri}", schedule=[asset], start_date=START) as dag:

        @batched
        def load(partition):
            if partition["date"] == DAYS[1]:
                raise ValueError(partition)

        load.expand(partition=batches([{"date": day} for day in DAYS], batch_size=2))
    dag_test(dag)
    assert letters(dag) == ["ofo"]
    tell(asset, "date=2024-01-01", "date=2024-01-02")
    assert letters(dag) == ["tfo"]


def test_partitions_that_are_listed_by_their_keys_are_found_by_their_dimensions(asset, dag_test, tell):
    mixed = [{"date": DAYS[0], "origin": "EWR"}, {"date": DAYS[1], "origin": "JFK"}, {"date": DAYS[1]}]
    with DAG(f"loads_mixed_{asset.uri}", schedule=[asset], start_date=START) as dag:

        @task
        def load(partition): ...

        load.expand(partition=mixed)
    dag_test(dag)
    tell(asset, "date=2024-01-02", "date=2024-01-01/origin=EWR")
    found = history(dag)
    stale = {found.key(cell) for cell, letter in enumerate(found.letters.decode()) if letter == "t"}
    # These are of several schemes: only what is the same is known to be.
    assert stale == {"date=2024-01-02", "date=2024-01-01/origin=EWR"}


def test_what_it_cannot_know_it_says(asset, dag_test, tell):
    silent = Asset(f"{asset.uri}_silent")
    with DAG(f"loads_unsure_{asset.uri}", schedule=[asset, silent], start_date=START) as dag:

        @task
        def load(partition): ...

        load.expand(partition=product(date=["2024-01", "2024-02"]))
    dag_test(dag)
    tell(asset, "date=2024-W05", "carrier=UA", "all of it")
    tell(silent, silently=True)
    found = history(dag)
    assert found.letters == b"oo"
    (overlap, others, keys, said_nothing) = sorted(
        found.notes,
        key=lambda note: ("overlap" not in note, "dimension in common" not in note, "keys" not in note),
    )
    assert "1 partitions that changed upstream, such as 'date=2024-W05'" in overlap
    assert "'carrier=UA'" in others
    assert "'all of it'" in keys
    assert said_nothing.startswith(f"'{silent.uri}' changed at 20")


def test_hidden_values_are_compared_by_their_digests(asset, dag_test, tell):
    with DAG(f"loads_hidden_{asset.uri}", schedule=[asset], start_date=START) as dag:

        @task
        def load(partition): ...

        load.expand(partition=product(token=["t-one", "t-two"], date=DAYS[:1]))
    dag_test(dag)
    tell(asset, partition_key({"token": "t-two"}))
    found = history(dag)
    (stale,) = [found.key(cell) for cell, letter in enumerate(found.letters.decode()) if letter == "t"]
    assert stale == partition_key({"date": DAYS[0]}) + "/token=*" + stale[-12:]
    assert "t-two" not in stale


def test_it_takes_three_queries_more_whatever_changed_and_none_of_a_dag_that_reads_no_assets(
    asset, dag_test, tell, queries
):
    dag = loader(asset)
    plain = DAG(f"reads_nothing_{asset.uri}", schedule=None, start_date=START)
    with plain:

        @task
        def load(partition): ...

        collect(load.expand(partition=product(date=DAYS, origin=ORIGINS)))
    counts = []
    for one in (plain, dag):
        dag_test(one)
        tell(asset, *(f"date={day}" for day in DAYS))
        with queries() as counted:
            assert history(one).queries == counted.number
        counts.append(counted.number)
    assert counts[1] - counts[0] == 2
