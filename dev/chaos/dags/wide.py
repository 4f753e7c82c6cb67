"""Many mapped instances: named by the kit, the same without it, and some in a pool with somebody who publishes."""

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
from airflow_mapping_kit.labels import label

AGAIN = {"retries": 4, "retry_delay": timedelta(seconds=1)}
PARAMS = {"pieces": 200, "seconds": 0.0}


@task
def plan(params=None):
    return [{"n": n, "name": f"piece-{n:04d}"} for n in range(params["pieces"])]


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_tasks=64,
    params=PARAMS,
)
def chaos_named():
    @task(map_index_template=label("{name}"))
    def one(piece, params=None):
        time.sleep(params["seconds"])
        return piece["n"]

    collect(one.expand(piece=plan()))


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_tasks=64,
    params=PARAMS,
)
def plain_named():
    @task(map_index_template="{{ piece_name }}")
    def one(piece, params=None):
        get_current_context()["piece_name"] = piece["name"]
        time.sleep(params["seconds"])
        return piece["n"]

    @task(trigger_rule="all_done")
    def gather(results):
        return len(list(results))

    gather(one.expand(piece=plan()))


def in_pool(dag_id):
    @dag(
        dag_id=dag_id,
        schedule=None,
        start_date=pendulum.datetime(2013, 1, 1),
        max_active_tasks=64,
        params={"witness": "", "pieces": 24, "seconds": 0.5},
    )
    def pieces():
        @task(map_index_template=label("{name}"), pool="chaos", max_active_tis_per_dagrun=4)
        def one(piece, params=None):
            answer = tell(params["witness"], piece["n"], get_current_context()["ti"])
            time.sleep(params["seconds"])
            if answer == "fail":
                raise ValueError("The witness says so.")
            return piece["n"]

        @task
        def announce(report, params=None):  # noqa: ARG001 - it comes after it
            tell(params["witness"], "all", get_current_context()["ti"], kind="announced")

        announce(collect(one.expand(piece=plan())))

    return pieces()


chaos_named()
plain_named()
in_pool("chaos_pool")
in_pool("chaos_paused")
