"""A DAG without mapped tasks, and one whose file will be broken."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag, task


@dag("unmapped", schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def unmapped() -> None:
    @task
    def nothing() -> None:
        pass

    nothing()


unmapped()
