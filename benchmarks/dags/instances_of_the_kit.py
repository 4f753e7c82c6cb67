"""The same mapped instances, that return a number: with a label and a fan-in, and with a batch each."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched import batched

DAG = {"schedule": None, "start_date": pendulum.datetime(2024, 1, 1), "params": {"instances": 2}}


@dag("collected_instances", **DAG)
def collected_instances():
    """Map over them with what is said of each, and what became of all."""

    @task
    def pieces(params=None):
        return [{"item": number} for number in range(params["instances"])]

    @task(map_index_template=label("{item}"))
    def one(piece):
        return piece["item"]

    collect(one.expand(piece=pieces()))


@dag("batched_instances", **DAG)
def batched_instances():
    """Map over batches of them."""

    @task
    def pieces(params=None):
        return [[{"item": 10 * number + n} for n in range(10)] for number in range(params["instances"])]

    @batched
    def one(piece):
        return piece["item"]

    collect(one.expand(piece=pieces()))


collected_instances()
batched_instances()
