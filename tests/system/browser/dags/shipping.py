"""Batches that take long enough for people to say something meanwhile."""

from __future__ import annotations

import time

import pendulum

from airflow_mapping_kit.compat import dag
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def shipping() -> None:
    @batched(concurrency=2)
    def ship(order: int) -> int:
        time.sleep(0.5)
        return order

    collect(ship.expand(order=batches(list(range(400)), batch_size=200)))


shipping()
