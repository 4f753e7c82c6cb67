"""A plan that a test makes wide in the database, and a plan that a test moves."""

from __future__ import annotations

import json
from pathlib import Path

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1), params={"plan": ""})
def wide():
    @task
    def plan(path):
        return json.loads(Path(path).read_text())

    @task(map_index_template=label("{origin} {date}"))
    def work(partition):
        return {"worked on": partition["date"]}

    collect(
        work.expand(partition=plan("{{ params.plan }}")),
        tolerated_failure_percentage="{{ dag_run.conf.get('percentage', 100) }}",
    )


wide()
