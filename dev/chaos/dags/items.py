"""Items in batches, each of which tells the witness of its effect; as long as anybody likes, or with a time limit."""

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

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.labels import label

SIZE = 50
AGAIN = {"retries": 4, "retry_delay": timedelta(seconds=1)}
PARAMS = {"witness": "", "items": 600, "seconds": 0.1, "bad": []}


def work_on_items(**limits):
    @task
    def items(params=None):
        return list(range(params["items"]))

    @task.batched(
        concurrency=8,
        map_index_template=label("item {item}"),
        **limits,
    )
    def work(item, params=None):
        answer = tell(params["witness"], item, get_current_context()["ti"])
        time.sleep(params["seconds"])
        if answer == "fail":
            raise ValueError("The witness says so.")
        return item * 2

    collect(work.expand(item=batches(items(), batch_size=SIZE)))


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_tasks=64,
    params=PARAMS,
)
def chaos_items():
    work_on_items()


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_tasks=64,
    params=PARAMS,
    dagrun_timeout=timedelta(seconds=45),
)
def chaos_items_in_time():
    work_on_items(max_active_tis_per_dagrun=2)


chaos_items()
chaos_items_in_time()
