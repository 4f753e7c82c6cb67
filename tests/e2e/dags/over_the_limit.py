"""One piece more than Airflow maps over."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.generators import product


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1), default_args={"retries": 3})
def over_the_limit():
    @task
    def work(partition): ...

    work.expand(partition=product(n=list(range(1025))))


over_the_limit()
