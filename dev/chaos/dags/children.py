"""A run of another DAG for each item, whose task tells the witness."""

from __future__ import annotations

import time
from datetime import timedelta

import pendulum
from told import tell

try:
    from airflow.sdk import dag, get_current_context, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.operators.python import get_current_context

from airflow_mapping_kit.operators.dagrun import TriggerDagRunPerItemOperator

AGAIN = {"retries": 4, "retry_delay": timedelta(seconds=1)}


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_runs=8,
    params={"item": 0, "witness": "", "seconds": 1.0},
)
def chaos_child():
    @task
    def one(params=None):
        tell(params["witness"], params["item"], get_current_context()["ti"], kind="child")
        time.sleep(params["seconds"])

    one()


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    params={"witness": "", "children": 30, "seconds": 1.0},
)
def chaos_parent():
    @task
    def items(params=None):
        return list(range(params["children"]))

    TriggerDagRunPerItemOperator(
        task_id="trigger",
        trigger_dag_id="chaos_child",
        items=items(),
        poke_interval=1,
        conf={"witness": "{{ params.witness }}"},
    )


chaos_child()
chaos_parent()
