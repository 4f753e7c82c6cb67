"""Which partitions changed of what a DAG reads: by the events that real tasks leave in Airflow's tables."""

from __future__ import annotations

from datetime import timedelta

import pendulum
import pytest

from airflow_mapping_kit.assets import MAX_EVENTS
from airflow_mapping_kit.compat import Asset, own_session
from airflow_mapping_kit.history import changes as module
from airflow_mapping_kit.history.changes import changes, mark, upstream
from airflow_mapping_kit.partitions import partition_key
from airflows import AIRFLOW_3, DAG, AssetAlias, EmptyOperator, scheduler_dag, store, task

if AIRFLOW_3:
    from airflow.timetables.assets import AssetOrTimeSchedule
else:
    from airflow.timetables.datasets import DatasetOrTimeSchedule as AssetOrTimeSchedule

START = pendulum.datetime(2024, 1, 1)
BEGINNING = pendulum.datetime(2000, 1, 1)


def read(dag, *task_ids, since=BEGINNING):
    """Return what changed of what a DAG reads: the same of the DAG as it is declared and as the scheduler has it."""
    store(dag)
    found = []
    for one in (dag, scheduler_dag(dag)):
        with own_session() as session:
            found.append(changes(upstream(one, task_ids or ["work"]), since, session))
    assert found[0] == found[1]
    return found[0]


def following(dag_id, schedule, inlets=()):
    with DAG(dag_id, schedule=schedule, start_date=START) as dag:
        EmptyOperator(task_id="work", inlets=list(inlets))
    return dag


def test_all_assets_that_a_dag_is_scheduled_on_count_whatever_the_condition(tell):
    first, second, third, other = (Asset(f"condition_{name}") for name in "abco")
    dag = following("follows_a_condition", first & (second | third))
    store(dag)
    for number, asset in enumerate((first, second, third, other)):
        tell(asset, f"number={number}", "every=1")
    found = read(dag)
    assert set(found.newest) == {"number=0", "number=1", "number=2", "every=1"}
    assert found.newest["every=1"] > found.newest["number=1"] > found.newest["number=0"]
    assert (found.silent, found.since) == ({}, None)


def test_a_schedule_beside_times_an_alias_and_inlets_count_too(tell):
    beside, by_alias, inlet = Asset("beside_times"), Asset("by_alias"), Asset("an_inlet")
    alias, inlet_alias = AssetAlias("scheduled_alias"), AssetAlias("inlet_alias")
    from airflow.timetables.trigger import CronTriggerTimetable

    both = AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("@daily", timezone="UTC"),
        **{"assets" if AIRFLOW_3 else "datasets": [beside]},
    )
    dags = {
        "beside": following("follows_beside_times", both),
        "alias": following("follows_alias", [alias]),
        "inlet": following("follows_inlet", "@daily", [inlet, "text", None]),
        "inlet_alias": following("follows_inlet_alias", None, [inlet_alias]),
    }
    for dag in dags.values():
        store(dag)
    tell(beside, "of=beside")
    # From then on the alias stands for the asset.
    tell(by_alias, alias=alias, dag_id="tells_by_alias")
    tell(by_alias, "of=alias")
    tell(inlet, "of=inlet")
    tell(Asset("by_inlet_alias"), alias=inlet_alias, dag_id="tells_by_inlet_alias")
    tell(Asset("by_inlet_alias"), "of=inlet_alias")
    assert {name: list(read(dag).newest) for name, dag in dags.items()} == {
        name: [f"of={name}"] for name in dags
    }


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no references")
def test_references_count(tell):
    asset = Asset(name="by_name_or_uri", uri="x://by/name/or/uri")
    tell(asset, "a=1")
    by_name = following("follows_by_name", [Asset.ref(name="by_name_or_uri")])
    by_uri = following("follows_by_uri", [Asset.ref(uri="x://by/name/or/uri")])
    inlet = following("reads_by_name", None, [Asset.ref(name="by_name_or_uri")])
    assert [list(read(dag).newest) for dag in (by_name, by_uri, inlet)] == [["a=1"]] * 3


def test_inlets_of_mapped_tasks_and_of_what_is_before_them_count_and_others_do_not(tell):
    assets = {name: Asset(f"inlet_of_{name}") for name in ("plan", "load", "after")}
    with DAG("reads_inlets", schedule=None, start_date=START) as dag:

        @task(inlets=[assets["plan"]])
        def plan():
            return [1]

        @task(inlets=[assets["load"]])
        def load(number): ...

        @task(inlets=[assets["after"]])
        def after(done): ...

        after(load.expand(number=plan()))
    store(dag)
    for name, asset in assets.items():
        tell(asset, f"of={name}")
    assert set(read(dag, "load").newest) == {"of=plan", "of=load"}
    assert set(read(dag, "plan").newest) == {"of=plan"}


def test_what_the_dag_itself_changed_does_not_count(tell):
    asset = Asset("changed_by_itself")
    dag = following("changes_itself", [asset])
    store(dag)
    tell(asset, "by=itself", dag_id="changes_itself")
    tell(asset, "by=another")
    assert list(read(dag).newest) == ["by=another"]


def test_events_that_name_no_partition_are_known_to_be_silent(tell):
    silent, speaking = Asset("silent_asset"), Asset("speaking_asset")
    dag = following("follows_silence", [silent, speaking])
    store(dag)
    tell(silent, silently=True)
    tell(speaking, "a=1")
    found = read(dag)
    # Of the kit's events for the asset as a whole, which Airflow 3.3 has beside those of partitions, nothing is said.
    assert (list(found.newest), list(found.silent)) == (["a=1"], ["silent_asset"])
    assert found.silent["silent_asset"] < found.newest["a=1"]


def test_keys_come_whole_and_those_of_many_in_one_event(tell):
    long, many = Asset("long_keys"), Asset("many_keys")
    key = partition_key({"title": "x" * 300})
    numbers = [f"number={number}" for number in range(MAX_EVENTS + 1)]
    dag = following("follows_long_and_many", [long, many])
    store(dag)
    tell(long, key, "a=1")
    tell(many, *numbers)
    assert set(read(dag).newest) == {key, "a=1", *numbers}


def test_only_what_is_newer_is_read_and_of_too_many_the_newest(tell, monkeypatch):
    asset = Asset("often_changed")
    dag = following("follows_often", [asset])
    store(dag)
    for number in range(4):
        tell(asset, f"number={number}")
    newest = read(dag).newest
    since = newest["number=1"]
    assert read(dag, since=since).newest.keys() == {"number=2", "number=3"}
    assert read(dag, since=since - timedelta(microseconds=1)).newest.keys() == newest.keys() - {"number=0"}
    monkeypatch.setattr(module, "MOST_KEYS", 2)
    found = read(dag)
    assert (found.newest.keys(), found.since) == ({"number=2", "number=3"}, newest["number=2"])


def test_the_extra_of_strangers_is_no_reason_to_fail(dag_test, tell):
    asset = Asset("strange_extra")
    dag = following("follows_strange", [asset])
    store(dag)
    for number, extra in enumerate(
        ["text", {"a": 1}, None, 7, ["a=1", 2, None], [], "mapping_kit_partitions"]
    ):
        with DAG(f"tells_strange_{number}", schedule=None, start_date=START) as stranger:

            @task(outlets=[asset])
            def load(extra=extra, **context):
                context["outlet_events"][asset].extra["mapping_kit_partitions"] = extra

            load()
        assert dag_test(stranger)["load", -1].state == "success"
    found = read(dag)
    assert (set(found.newest), list(found.silent)) == ({"a=1", "2", "None"}, ["strange_extra"])


def test_it_takes_two_queries_and_none_of_a_dag_that_reads_no_assets(tell, queries):
    asset = Asset("counted_asset")
    dag = following("follows_counted", [asset])
    store(dag)
    for number in range(3):
        tell(asset, f"number={number}", f"other={number}")
    none = following("follows_none", "@daily")
    store(none)
    with queries() as counted, own_session() as session:
        changes(upstream(dag, ["work"]), BEGINNING, session)
    assert counted.number == 2
    with queries() as counted, own_session() as session:
        assert not changes(upstream(none, ["work"]), BEGINNING, session).newest
        assert mark(upstream(none, ["work"]), session) == (0, None)
    assert counted.number == 0


def test_a_new_event_changes_the_mark(tell):
    asset = Asset("marked_asset")
    dag = following("follows_marked", [asset])
    store(dag)
    marks = []
    for number in range(3):
        with own_session() as session:
            marks.append(mark(upstream(dag, ["work"]), session))
        tell(asset, f"number={number}")
    assert len(set(marks)) == 3
