"""A fan-in where nothing was recorded: this file takes the listener out of the processes that import it."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import AIRFLOW_3, AirflowSkipException, dag, task
from airflow_mapping_kit.fan_in import collect

if AIRFLOW_3:
    from airflow.sdk import get_parsing_context
    from airflow.sdk.listener import get_listener_manager
else:
    from airflow.listeners.listener import get_listener_manager

# `dag.test()` of Airflow 3 reads this file for other DAGs too, whose tasks run in the same process.
if not AIRFLOW_3 or get_parsing_context().task_id:
    get_listener_manager().clear()


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def without_listener():
    @task
    def work(kind):
        if kind == "skip":
            raise AirflowSkipException
        if kind == "fail":
            raise ValueError("Nobody listens.")
        return None if kind == "none" else kind

    collect(work.expand(kind=["ok", "skip", "fail", "none"]), tolerated_failure_count=1)


without_listener()
