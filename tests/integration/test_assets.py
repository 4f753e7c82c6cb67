"""Events of assets that name the partitions: what tasks tell, and what the DAG that follows reads of it."""

from __future__ import annotations

from datetime import date
from importlib.util import find_spec

import duckdb
import pendulum
import pytest
from airflow.models import dagrun
from airflow.models.dag import DagModel

from airflow_mapping_kit.assets import (
    EXTRA,
    MAX_EVENTS,
    MAX_KEY_LENGTH,
    changed_partitions,
    mark_changed,
)
from airflow_mapping_kit.compat import Asset
from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.partitions import parse_partition_key, partition_key
from airflows import AIRFLOW_3, DAG, EmptyOperator, create_session, events_of, store, task

START = pendulum.datetime(2024, 1, 1)
# Airflow 3.3 and later have events of partitions.
PARTITIONED = AIRFLOW_3 and find_spec("airflow.state") is not None


def told(asset):
    """Return the partitions of each event: its own, or those in its `extra`."""
    return [
        [key] if (key := getattr(event, "partition_key", None)) is not None else event.extra.get(EXTRA)
        for event in events_of(asset)
    ]


@pytest.fixture
def followed(run_of):
    """Return a function that starts a run by all events of an asset, as the scheduler does, and what it reads."""

    def start(dag_id, asset, events=None):
        with DAG(dag_id, schedule=[asset], start_date=START) as dag:

            @task
            def read():
                return {"all": changed_partitions(), "of_it": changed_partitions(asset=asset)}

            read()
        run, stored = run_of(dag), events_of(asset) if events is None else events
        with create_session() as session:
            row = session.get(dagrun.DagRun, run.dag_run.id)
            consumed = row.consumed_asset_events if AIRFLOW_3 else row.consumed_dataset_events
            consumed.extend([session.merge(event) for event in stored])
        state, found = run.run("read")
        assert (state, found["all"]) == ("success", found["of_it"])
        return found["all"]

    return start


def test_a_fan_in_tells_what_succeeded_in_one_event_for_the_whole_asset(dag_test, followed):
    asset = Asset("fan_in_asset")
    with DAG("tells_by_fan_in", schedule=None, start_date=START) as dag:

        @task
        def load(partition):
            if partition["date"] == "2024-01-02":
                raise ValueError(partition)

        days = [{"date": f"2024-01-0{day}"} for day in (1, 2, 3)]
        collect(load.expand(partition=days), tolerated_failure_count=1, outlets=[asset])

    dag_test(dag)
    partitions = ["date=2024-01-01", "date=2024-01-03"]
    if PARTITIONED:
        # The event without a partition starts DAGs that know of none, and takes in what is older.
        assert sorted(told(asset)[:-1]) == [[key] for key in partitions]
        assert told(asset)[-1] is None
    else:
        assert told(asset) == [partitions]
    assert followed("follows_fan_in", asset) == partitions


def test_every_operator_of_the_kit_tells_what_it_changed(dag_test, followed, tmp_path):
    one, many, items = Asset("one_partition"), Asset("many_partitions"), Asset("items_of_batches")
    with DAG("tells_by_operators", schedule=None, start_date=START) as dag:
        settings = {"sql": "SELECT $date AS day", "target": str(tmp_path / "lake")}
        days = [{"date": f"2024-01-0{day}"} for day in (1, 2, 3)]
        DuckDBPartitionOperator.partial(task_id="one", outlets=[one], **settings).expand(partition=days[:2])
        DuckDBPartitionOperator.partial(task_id="many", outlets=[many], **settings).expand(partition=[days])

        @batched(outlets=[items])
        def ship(order): ...

        ship.expand(order=batches([1, 2, 3], batch_size=2))

    states = {place: instance.state for place, instance in dag_test(dag).items()}
    assert set(states.values()) == {"success"}
    assert followed("follows_one", one) == ["date=2024-01-01", "date=2024-01-02"]
    assert followed("follows_many", many) == ["date=2024-01-01", "date=2024-01-02", "date=2024-01-03"]
    assert followed("follows_items", items) == ["order=1", "order=2", "order=3"]


def test_a_task_of_its_author_tells_the_same_way_and_keeps_what_else_it_says(dag_test, followed):
    asset = Asset("author_asset")
    with DAG("tells_by_author", schedule=None, start_date=START) as dag:

        @task(outlets=[asset])
        def load(**context):
            context["outlet_events"][asset].extra["rows"] = 7
            mark_changed(["date=2024-01-01"])
            mark_changed(["date=2024-01-02"])

        load()

    dag_test(dag)
    assert {event.extra["rows"] for event in events_of(asset)} == {7}
    assert followed("follows_author", asset) == ["date=2024-01-01", "date=2024-01-02"]


def test_what_airflow_hides_is_told_as_a_digest_that_nothing_takes_for_a_partition(
    dag_test, followed, tmp_path
):
    by_operator, by_author = Asset("hidden_by_operator"), Asset("hidden_by_author")
    partition = {"date": "2024-01-01", "token": "ETH"}
    with DAG("tells_hidden", schedule=None, start_date=START) as dag:
        DuckDBPartitionOperator(
            task_id="write",
            sql="SELECT 7 AS x WHERE $date > $token OR $token = 'ETH'",
            target=str(tmp_path / "lake"),
            partition=partition,
            outlets=[by_operator],
        )

        @task(outlets=[by_author])
        def load():
            mark_changed([partition_key(partition)])

        load()

    dag_test(dag)
    key = "date=2024-01-01/token=*f4a3760644d0"
    assert followed("follows_hidden_operator", by_operator) == [key]
    assert followed("follows_hidden_author", by_author) == [key]
    with pytest.raises(PartitionError, match="'token'"):
        parse_partition_key(key)
    # Readers of the lake take the value from the directory.
    assert duckdb.sql(f"SELECT * FROM '{tmp_path}/lake/*/*/*.parquet'").fetchall() == [
        (7, date(2024, 1, 1), "ETH")
    ]


LONG = [partition_key({"title": f"{'On the origin of species ' * 12}{n}", "year": 1859}) for n in (1, 2)]


def test_keys_that_airflow_takes_only_cut_arrive_whole(dag_test, followed):
    asset = Asset("long_asset")
    with DAG("tells_long_keys", schedule=None, start_date=START) as dag:

        @task(outlets=[asset])
        def load():
            mark_changed([LONG[0], "year=1859"])
            mark_changed([LONG[1]])

        load()

    dag_test(dag)
    assert all(len(key) > MAX_KEY_LENGTH for key in LONG)
    assert followed("follows_long", asset) == [*LONG, "year=1859"]
    if PARTITIONED:
        *cut, short = sorted(event.partition_key for event in events_of(asset) if event.partition_key)
        assert (short, {len(key) for key in cut}) == ("year=1859", {MAX_KEY_LENGTH})
        for key, whole in zip(sorted(cut), sorted(LONG), strict=True):
            assert key[:236] == whole[:236]
            with pytest.raises(PartitionError, match=r"was too long for where it was kept, and cut"):
                parse_partition_key(key)


@pytest.mark.skipif(not PARTITIONED, reason="Airflow 3.3 is the first with events of partitions")
def test_the_run_of_a_partition_whose_key_was_cut_reads_the_whole_key_of_that_one(dag_test, followed):
    asset = Asset("long_partitions")
    with DAG("tells_long_partitions", schedule=None, start_date=START) as dag:

        @task(outlets=[asset])
        def load():
            mark_changed([*LONG, "year=1859"])

        load()

    dag_test(dag)
    read = {
        event.partition_key: followed(f"follows_long_{number}", asset, events=[event])
        for number, event in enumerate(events_of(asset))
    }
    assert read.pop(None) == []
    assert read.pop("year=1859") == ["year=1859"]
    assert sorted(read.values()) == [[key] for key in sorted(LONG)]


def test_long_keys_that_would_be_too_much_for_a_call_are_told_in_one_event(dag_test, followed):
    asset, keys = Asset("very_long_asset"), [f"text={number:03}{'x' * 300}" for number in range(MAX_EVENTS)]
    with DAG("tells_very_long", schedule=None, start_date=START) as dag:

        @task(outlets=[asset])
        def load():
            for key in keys:
                mark_changed([key])

        load()

    dag_test(dag)
    assert told(asset) == [keys]
    assert followed("follows_very_long", asset) == keys


def test_an_event_has_room_for_a_million_characters_of_keys_and_what_follows_is_told_of_more(dag_test):
    asset, read = Asset("huge_asset"), []

    def keys():
        for number in range(10_000_000):
            read.append(number)
            yield f"text={number:08}{'x' * 87}"

    with DAG("huge_writer", schedule=None, start_date=START) as writer:

        @task(outlets=[asset])
        def write():
            mark_changed(["text=first"])
            mark_changed(keys())
            mark_changed(["text=last"])

        write()
    dag_test(writer)
    assert told(asset) == [None]
    # No more was read than there was room for.
    assert len(read) < 11_000
    triggering = {
        "triggering_asset_events" if AIRFLOW_3 else "triggering_dataset_events": {asset: events_of(asset)}
    }
    with pytest.raises(PlanError, match="more than 1,000,000 characters"):
        changed_partitions(context=triggering)


def test_equal_partitions_of_a_plan_are_told_as_the_one_that_they_are(dag_test, followed):
    pieces, items = Asset("equal_pieces"), Asset("equal_items")
    with DAG("tells_equal_partitions", schedule=None, start_date=START) as dag:

        @task
        def load(partition): ...

        @batched(outlets=[items])
        def ship(partition): ...

        day = {"date": "2024-01-01"}
        collect(load.expand(partition=[day, {**day}]), outlets=[pieces])
        ship.expand(partition=[[day, {**day}]])

    states = {place: instance.state for place, instance in dag_test(dag).items()}
    assert set(states.values()) == {"success"}
    assert followed("follows_equal_pieces", pieces) == ["date=2024-01-01"]
    assert followed("follows_equal_items", items) == ["date=2024-01-01"]


@pytest.mark.parametrize("calls", [1, 2])
def test_more_partitions_than_airflow_takes_events_for_are_told_in_one(dag_test, followed, calls):
    asset, keys = Asset(f"large_asset_{calls}"), [f"number={number:03}" for number in range(MAX_EVENTS + 1)]
    with DAG(f"tells_of_many_{calls}", schedule=None, start_date=START) as dag:

        @task(outlets=[asset])
        def load():
            for call in range(calls):
                mark_changed(keys[call::calls])

        load()

    dag_test(dag)
    assert told(asset) == [keys]
    assert followed(f"follows_many_in_{calls}", asset) == keys


def test_a_failed_batch_tells_nothing_until_it_is_done(dag_test):
    asset = Asset("failed_asset")
    with DAG("tells_nothing", schedule=None, start_date=START) as dag:

        @batched(outlets=[asset])
        def ship(order):
            if order == 2:
                raise ValueError(order)

        ship.expand(order=batches([1, 2], batch_size=2))

    assert dag_test(dag)["ship", 0].state == "failed"
    assert events_of(asset) == []


def test_a_run_that_nothing_started_has_no_changed_partitions(followed):
    assert followed("follows_nothing", Asset("nothing_asset")) == []


def queued_for(dag_id):
    """Return whether Airflow is to make a run of a DAG for its assets, and for which of their partitions."""
    if not AIRFLOW_3:
        from airflow.models.dataset import DatasetDagRunQueue

        with create_session() as session:
            return session.query(DatasetDagRunQueue).filter_by(target_dag_id=dag_id).count() > 0, []
    from airflow.models.asset import AssetDagRunQueue, AssetPartitionDagRun

    with create_session() as session:
        whole = session.query(AssetDagRunQueue).filter_by(target_dag_id=dag_id).count() > 0
        rows = session.query(AssetPartitionDagRun).filter_by(target_dag_id=dag_id).all()
        return whole, sorted(row.partition_key for row in rows)


def test_it_starts_a_dag_that_is_scheduled_on_the_asset_and_one_that_is_on_its_partitions(dag_test):
    asset = Asset("asset_of_two_kinds")
    with DAG("follows_the_whole", schedule=[asset], start_date=START) as whole:
        EmptyOperator(task_id="work")
    store(whole)
    if PARTITIONED:
        from airflow.sdk import PartitionedAssetTimetable

        schedule = PartitionedAssetTimetable(assets=asset)
        with DAG("follows_partitions", schedule=schedule, start_date=START) as each:
            EmptyOperator(task_id="work")
        store(each)
    with create_session() as session:
        session.query(DagModel).update({"is_paused": False})
    with DAG("tells_both", schedule=None, start_date=START) as dag:

        @task(outlets=[asset])
        def load():
            mark_changed(["date=2024-01-01", "date=2024-01-02"])

        load()

    dag_test(dag)
    assert queued_for("follows_the_whole") == (True, [])
    if PARTITIONED:
        assert queued_for("follows_partitions") == (False, ["date=2024-01-01", "date=2024-01-02"])


@pytest.mark.skipif(not PARTITIONED, reason="Airflow 3.3 is the first with events of partitions")
def test_in_a_run_of_a_partition_its_own_key_stays_and_the_pieces_are_beside_it(run_of, followed):
    from airflow.sdk import PartitionedAtRuntime

    asset = Asset("partition_of_a_run")
    with DAG("tells_in_partition", schedule=PartitionedAtRuntime(), start_date=START) as dag:

        @task(outlets=[asset])
        def load():
            mark_changed(["date=2024-01-01/origin=EWR"])

        load()
    run = run_of(dag, partition_key="2024-01-01")
    assert run.run("load")[0] == "success"
    (event,) = events_of(asset)
    assert (event.partition_key, event.extra) == ("2024-01-01", {EXTRA: ["date=2024-01-01/origin=EWR"]})
    assert followed("follows_partition", asset) == ["date=2024-01-01/origin=EWR"]
