"""The history of one partition, from rows as Airflow leaves them."""

from __future__ import annotations

import pendulum
import pytest

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.history.piece import history_of
from airflow_mapping_kit.policy import task_policy
from airflow_mapping_kit.reload import reload_params, reload_partitions
from airflows import DAG, task, task_group
from written import Written, at

pytestmark = pytest.mark.usefixtures("metadata_db")
EWR, LGA = ({"origin": origin, "date": "2013-01-01"} for origin in ("EWR", "LGA"))
LATE = {"type": "OSError", "message": "no such file"}


def test_every_run_that_had_a_partition_is_told_with_its_tasks():
    with DAG(
        "piece_group",
        schedule=None,
        start_date=pendulum.datetime(2013, 1, 1),
        params=reload_params(origin=["EWR", "LGA"]),
    ) as dag:

        @task
        def first(partition):
            return partition

        @task
        def second(value):
            return value

        @task_group
        def each(partition):
            return second(first(partition))

        collect(each.expand(partition=reload_partitions()))
    for one in dag.tasks:
        task_policy(one)
    written = Written(dag)
    failed = written.run("failed", started=at(0), ended=at(10), state="failed")
    written.xcom(failed, "reload_partitions", [EWR, LGA])
    for index, states in enumerate([("success", "success"), ("failed", "upstream_failed")]):
        for n, name in enumerate(("each.first", "each.second")):
            written.instance(
                failed,
                name,
                index,
                states[n],
                start=at(n),
                end=at(n + 1),
                tries=3 - n,
                label=f"piece {index}",
            )
    written.xcom(
        failed,
        "each.first",
        {"key": "date=2013-01-01/origin=LGA", "label": "", "try_number": 3, "error": LATE},
        key="mapping_kit",
        map_index=1,
    )
    other = written.run("other", started=at(20), ended=at(30))
    written.xcom(other, "reload_partitions", [EWR])
    mended = written.run("mended", started=at(40), state="running")
    written.xcom(mended, "reload_partitions", [LGA])
    written.instance(mended, "each.first", 0, "running", start=at(41))
    written.flush()

    for one in (dag, written.stored()):
        for partition in ("date=2013-01-01/origin=LGA", LGA):
            newest, oldest = history_of(one, partition)
            assert (newest.run.id, newest.map_index, newest.state) == ("mended", 0, "at_work")
            assert [(one.task_id, one.state, one.started) for one in newest.tasks] == [
                ("each.first", "at_work", at(41))
            ]
            assert (oldest.run.id, oldest.map_index, oldest.state) == ("failed", 1, "failed")
            assert [
                (one.task_id, one.state, one.try_number, one.seconds, one.label, one.error)
                for one in oldest.tasks
            ] == [
                ("each.first", "failed", 3, 60.0, "piece 1", LATE),
                ("each.second", "upstream_failed", 2, 60.0, "piece 1", None),
            ]
        assert history_of(one, "date=2013-01-02/origin=LGA") == []
