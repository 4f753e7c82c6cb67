"""A DAG that stages for a table and publishes: on Delta, the cheapest table that there is."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path

import duckdb
import pendulum
import pytest
from deltalake import DeltaTable, Field, QueryBuilder, Schema, write_deltalake
from deltalake.schema import PrimitiveType

import airflows
from airflow_mapping_kit.assets import keys_of
from airflow_mapping_kit.compat import Asset
from airflow_mapping_kit.fan_in import publish, rows
from airflow_mapping_kit.generators import batches, generator, product
from airflow_mapping_kit.history import history
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.tables import delta_table
from airflows import DAG, clear, events_of, run_alone, task, task_group, xcom_of

COLUMNS = {"origin": "string", "date": "date", "flights": "integer"}
ORIGINS, DATES = ["EWR", "JFK", "LGA"], ["2013-01-01", "2013-01-02"]
OLD = {(origin, date): 1 for origin in [*ORIGINS, "BOS"] for date in DATES}
LOADED = {(origin, date): 100 for origin in ORIGINS for date in DATES}
SQL = """
    SELECT flights::INTEGER AS flights FROM read_csv($source, all_varchar = true)
    WHERE origin = $origin AND date = $date
"""


@pytest.fixture
def table(tmp_path):
    """Return the path of a Delta table that holds 1 flight of every partition, and of some that no plan has."""
    path = str(tmp_path / "flights")
    schema = Schema([Field(name, PrimitiveType(kind)) for name, kind in COLUMNS.items()])
    DeltaTable.create(path, schema, partition_by=["origin", "date"])
    old = duckdb.sql(
        f"SELECT o AS origin, d::DATE AS date, 1::INTEGER AS flights "
        f"FROM unnest({[*ORIGINS, 'BOS']}) AS _(o), unnest({DATES}) AS __(d)"
    )
    write_deltalake(path, old.arrow(), mode="append")
    return path


class Source:
    """A CSV file of what is to be loaded: 100 flights of everything, but of what is said otherwise."""

    def __init__(self, folder):
        self.path = folder / "flights.csv"
        self.holds()

    def holds(self, **otherwise):
        rows = {f"{origin}_{date[-2:]}": (origin, date, "100") for origin in ORIGINS for date in DATES}
        for name, flights in otherwise.items():
            rows[name] = (*rows[name][:2], flights)
        lines = [",".join(row) for row in rows.values() if row[2] is not None]
        self.path.write_text("\n".join(["origin,date,flights", *lines, ""]))


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


def held(path):
    """Return what a Delta table holds, as Delta's own engine reads it."""
    query = QueryBuilder().register("t", DeltaTable(path)).execute("SELECT origin, date, flights FROM t")
    found = query.read_all().to_struct_array().to_pylist()
    assert len(found) == len({(row["origin"], row["date"]) for row in found})
    return {(row["origin"], str(row["date"])): row["flights"] for row in found}


def staged_files(path):
    """Return the files below a table that nobody published."""
    live = {Path(uri).name for uri in DeltaTable(path).file_uris()}
    return [file for file in Path(path, "mapping-kit").rglob("*") if file.is_file() and file.name not in live]


@generator
def in_slices():
    return [{"origin": origin, "date": date} for date in DATES for origin in ORIGINS]


PLANS = {
    "partitions": lambda: product(origin=ORIGINS, date=DATES),
    "batches": lambda: batches(product(origin=ORIGINS, date=DATES), batch_size=4),
    "slices": lambda: in_slices.override(batch_size=4)(),
}


class Load:
    """A DAG that loads partitions into a Delta table, and its run."""

    def __init__(
        self,
        table,
        source,
        plan="partitions",
        *,
        on_empty="fail",
        dimensions=None,
        grouped=False,
        **arguments,
    ):
        with DAG(f"t{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as self.dag:
            settings = {
                "task_id": "load",
                "sql": SQL,
                "parameters": {"source": str(source.path)},
                "target": delta_table(table, dimensions=dimensions),
                "on_empty": on_empty,
            }

            @task_group
            def piece(what):
                task(lambda: None, task_id="before")() >> (
                    loaded := DuckDBPartitionOperator(**settings, partition=what)
                )
                return loaded

            made = PLANS[plan]()
            if grouped:
                load = piece.expand(what=made)
            else:
                named = {"map_index_template": label("{origin} {date}")}
                load = DuckDBPartitionOperator.partial(**settings, **named).expand(partition=made)
            publish(load, task_id="publish_load", **arguments)
        self.run = airflows.dag_test(self.dag)

    def instance(self, task_id, map_index=-1):
        return self.run.get_task_instance(task_id, map_index=map_index)

    def again(self, *places):
        """Clear instances, and run them again in that order."""
        for place in places:
            clear(self.dag, self.instance(*place))
        for place in places:
            run_alone(self.dag, self.instance(*place))

    @property
    def failed(self):
        """The map indexes of the instances that failed."""
        found = self.run.get_task_instances()
        return sorted(one.map_index for one in found if (one.task_id, one.state) == ("load", "failed"))

    @property
    def state(self):
        return self.instance("publish_load").state

    @property
    def report(self):
        return xcom_of(self.run, "publish_load")


@pytest.mark.parametrize("plan", ["partitions", "batches"])
def test_what_passed_is_one_version_and_the_rest_keeps_its_data(metadata_db, table, source, plan):
    source.holds(EWR_02="broken", JFK_01=None)
    load = Load(table, source, plan, on_empty="replace", tolerated_failure_count=1)
    expected = {**OLD, **LOADED, ("EWR", "2013-01-02"): 1}
    del expected["JFK", "2013-01-01"]
    assert held(table) == expected
    assert load.report["published"] == {"snapshot": 2, "rows": 4, "replaced_files": 5, "left_over": 0}
    assert DeltaTable(table).version() == 2
    assert (load.report["total"], load.report["failed"]) == (6, 1)
    assert not staged_files(table)


@pytest.mark.parametrize("plan", ["partitions", "slices"])
def test_beyond_the_tolerance_nothing_is_published_and_mended_all_of_it_at_once(
    metadata_db, table, source, plan
):
    source.holds(EWR_02="broken", JFK_01="broken")
    load = Load(table, source, plan, tolerated_failure_count=1)
    assert load.state == "failed"
    assert held(table) == OLD
    assert DeltaTable(table).version() == 1
    assert "published" not in load.report
    # What is staged is no data: whoever asks is to load it again.
    assert Counter(history(load.dag).letters) == {ord("f"): 2, ord("u"): 4}
    assert len(staged_files(table)) == 4

    source.holds(EWR_02="102", JFK_01="101")
    load.again(*(("load", index) for index in load.failed), ("publish_load",))
    assert load.state == "success"
    assert set(history(load.dag).letters) == {ord("o")}
    assert held(table) == {**OLD, **LOADED, ("EWR", "2013-01-02"): 102, ("JFK", "2013-01-01"): 101}
    assert DeltaTable(table).version() == 2 == load.report["published"]["snapshot"]
    assert not staged_files(table)

    load.again(("publish_load",))
    assert (load.state, DeltaTable(table).version()) == ("success", 2)


def test_a_task_of_a_mapped_group_stages_as_well(metadata_db, table, source):
    source.holds(EWR_02="broken")
    load = Load(table, source, "batches", grouped=True, tolerated_failure_percentage=20, values=False)
    assert load.report["published"]["rows"] == 5
    assert held(table) == {**OLD, **LOADED, ("EWR", "2013-01-02"): 1}
    assert {row.get("value") for row in load.report["results"]} == {None}


@pytest.mark.parametrize("kept", ["in storage", "among XComs"])
def test_a_report_may_be_elsewhere(metadata_db, table, source, kept, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", "1")
    if kept == "in storage":
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", str(tmp_path / "kit"))
    load = Load(table, source, "slices" if kept == "among XComs" else "batches")
    assert load.report.keys() & {"results", "parts", "written_to"} == {
        "parts" if kept == "among XComs" else "written_to"
    }
    assert load.report["published"]["rows"] == 6
    assert held(table) == {**OLD, **LOADED}
    assert {row["value"]["rows"] for row in rows(load.report)} == {1}


def test_partitions_without_rows_are_left_alone_where_that_is_said(metadata_db, table, source, tmp_path):
    source.holds(EWR_02=None, JFK_01="7")
    load = Load(table, source, on_empty="skip", write_to=str(tmp_path / "rows.jsonl"))
    assert held(table) == {**OLD, **LOADED, ("EWR", "2013-01-02"): 1, ("JFK", "2013-01-01"): 7}
    assert len(list(rows(load.report))) == 6
    assert (load.report["skipped"], load.report["published"]["rows"]) == (1, 5)


def test_where_nothing_passed_the_table_stays_as_it_is(metadata_db, table, source):
    source.path.write_text("origin,date,flights\n")
    load = Load(table, source, on_empty="skip")
    assert load.report["published"] is None
    assert DeltaTable(table).version() == 1


@pytest.mark.parametrize(
    ("plan", "dimensions", "said"),
    [
        ("partitions", {"origin": "orign"}, "lives in the column 'orign', and the Delta table"),
        ("slices", {"orign": "origin"}, "no dimension 'orign' (near: 'origin'): it has date, origin"),
    ],
)
def test_a_dimension_without_a_column_fails_before_anything_is_staged(
    metadata_db, table, source, plan, dimensions, said, caplog
):
    load = Load(table, source, plan, dimensions=dimensions)
    assert load.instance("table_flights").state == "failed"
    assert said in caplog.text
    assert not staged_files(table)


def test_the_event_of_an_asset_is_of_what_was_published(metadata_db, table, source):
    asset = Asset(f"asset_{uuid.uuid4().hex}")
    source.holds(EWR_02="broken")
    Load(table, source, tolerated_failure_count=1, outlets=[asset])
    published = {key for event in events_of(asset) for key in keys_of(event)}
    assert published == {f"date={date}/origin={origin}" for origin, date in LOADED} - {
        "date=2013-01-02/origin=EWR"
    }


def test_what_nobody_publishes_is_not_staged(metadata_db, table, source, caplog):
    with DAG(f"t{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
        DuckDBPartitionOperator.partial(
            task_id="load", sql=SQL, parameters={"source": str(source.path)}, target=delta_table(table)
        ).expand(partition=PLANS["partitions"]())
    assert airflows.dag_test(dag).get_task_instance("table_flights").state == "failed"
    assert "load stages rows for the table, and no task publishes them" in caplog.text
    assert not staged_files(table)
