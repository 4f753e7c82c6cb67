"""Mapped instances that return a number, in a DAG that knows nothing of the kit."""

from __future__ import annotations

import pendulum

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag("plain_instances", schedule=None, start_date=pendulum.datetime(2024, 1, 1), params={"instances": 2})
def plain_instances():
    """Map over so many pieces, and have a task after them as the others have."""

    @task
    def pieces(params=None):
        return [{"item": number} for number in range(params["instances"])]

    @task
    def one(piece):
        return piece["item"]

    @task(trigger_rule="all_done")
    def after(): ...

    one.expand(piece=pieces()) >> after()


plain_instances()
