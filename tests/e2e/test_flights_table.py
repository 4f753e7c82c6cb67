"""A table: many partitions become one snapshot, or none; what was cleared and retried, too."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from stack.flights_table import LOAD, Reader, make_table

pytestmark = pytest.mark.versions

DAG = "flights_table"
# Two instances: one has 69 partitions, the other the last three days of LGA.
DAYS = {"mode": "custom", "start_date": "2013-01-01", "end_date": "2013-01-24", "tolerated": 0}
DELIVERED = """
SELECT * REPLACE ((distance + $load)::INT AS distance) FROM read_parquet($source)
WHERE date BETWEEN '2013-01-01' AND '2013-01-24' AND NOT (origin = 'LGA' AND list_contains($late, date::VARCHAR))
"""
BY_PARTITION = "SELECT origin, date::VARCHAR, count(*), sum(distance) FROM flights GROUP BY ALL"


def deliver(stack, path, *, load, late=()):
    """Write the flights of these days, but for LGA's of late ones, as a file that is whole at once."""
    arriving = path.with_suffix(".arriving")
    values = {
        "source": str(stack.project / "include" / "data" / "flights-2013.parquet"),
        "load": load * LOAD,
        "late": list(late),
    }
    duckdb.sql(DELIVERED, params=values).write_parquet(str(arriving))
    arriving.rename(path)


def held(flights):
    with duckdb.connect() as connection:
        connection.register("flights", flights)
        return sorted(connection.execute(BY_PARTITION).fetchall())


def staged(table):
    """Return the staged files by the folder of their run."""
    found = {}
    for path in Path(table.location().removeprefix("file://")).glob("data/mapping-kit/*/*.parquet"):
        found.setdefault(path.parent.name, set()).add(path.name)
    return found


def live(table):
    return {Path(task.file.file_path).name for task in table.refresh().scan().plan_files()}


def test_a_reload_of_which_a_day_fails_changes_nothing_and_once_retried_is_one_snapshot(
    stack, mapping_kit, tmp_path
):
    airflow, source = stack.airflow, tmp_path / "flights.parquet"
    table = make_table(stack.catalog)
    deliver(stack, source, load=0)
    conf = {**DAYS, "source": str(source)}
    first = stack.tested(DAG, **conf)
    assert held(table.refresh().scan().to_arrow()) == held(duckdb.read_parquet(str(source)).arrow())
    assert len(live(table)) == 72
    (before,) = table.snapshots()
    report = airflow.xcom(DAG, first, "publish_load")
    assert (report["total"], report["succeeded"]) == (72, 72)
    assert report["published"]["snapshot"] == before.snapshot_id
    assert report["published"]["rows"] == table.scan().count()

    with Reader(table, every=1) as reader:
        # The second delivery lacks a day of LGA, and nothing may fail.
        deliver(stack, source, load=1, late=["2013-01-23"])
        airflow.unpause(DAG)
        run_id = airflow.trigger(DAG, conf=conf)
        assert airflow.wait(DAG, run_id) == "failed"
        writers = airflow.instances(DAG, run_id, "load")
        assert [one["state"] for one in writers] == ["success", "failed"]
        assert [one.snapshot_id for one in table.refresh().snapshots()] == [before.snapshot_id]
        (kept,) = (files for files in staged(table).values() if not files & live(table))
        assert len(kept) == 71

        deliver(stack, source, load=1)
        status, _, errors = mapping_kit("retry", DAG, run_id, "--yes")
        assert status == 0, errors
        assert airflow.wait(DAG, run_id) == "success"
        # What had been staged by the instance that succeeded was taken as it was.
        assert [one["try_number"] for one in airflow.instances(DAG, run_id, "load")] == [1, 2]
        published = airflow.xcom(DAG, run_id, "publish_load")["published"]

        # Publishing again is noticed.
        assert airflow.clear(DAG, run_id, "publish_load") == 1
        assert airflow.wait(DAG, run_id) == "success"
        again = airflow.xcom(DAG, run_id, "publish_load")["published"]
    table.refresh()
    assert [one.snapshot_id for one in table.snapshots()] == [before.snapshot_id, published["snapshot"]]
    assert again["snapshot"] == published["snapshot"]
    assert held(table.scan().to_arrow()) == held(duckdb.read_parquet(str(source)).arrow())
    assert {row[3] // row[2] // LOAD for row in held(table.scan().to_arrow())} == {1}
    old = table.scan(snapshot_id=before.snapshot_id)
    assert {row[3] // row[2] // LOAD for row in held(old.to_arrow())} == {0}
    # All that there is is part of one of the two; what the first try of the failed instance staged is gone.
    named = live(table) | {Path(task.file.file_path).name for task in old.plan_files()}
    assert set().union(*staged(table).values()) == named
    assert len(named) == 2 * 72
    # Nobody saw anything between the two.
    assert reader.mixtures == 0
    assert reader.loads[0] == {0}
    assert reader.loads[-1] == {1}
