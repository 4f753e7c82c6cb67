"""The same mapped instances, that return a number: with a batch each and a fan-in."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.operators.batched import batched


@dag("batched_instances", schedule=None, start_date=pendulum.datetime(2024, 1, 1), params={"instances": 2})
def batched_instances():
    """Map over batches of them."""

    @task
    def pieces(params=None):
        return [[{"item": 10 * number + n} for n in range(10)] for number in range(params["instances"])]

    @batched
    def one(piece):
        return piece["item"]

    collect(one.expand(piece=pieces()))


batched_instances()
