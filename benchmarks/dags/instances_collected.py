"""The same mapped instances, that return a number: with a label and a fan-in."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label


@dag("collected_instances", schedule=None, start_date=pendulum.datetime(2024, 1, 1), params={"instances": 2})
def collected_instances():
    """Map over them with what is said of each, and what became of all."""

    @task
    def pieces(params=None):
        return [{"item": number} for number in range(params["instances"])]

    @task(map_index_template=label("{item}"))
    def one(piece):
        return piece["item"]

    collect(one.expand(piece=pieces()))


collected_instances()
