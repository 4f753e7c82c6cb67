"""Items of which some fail until a file is there, in batches."""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.decorators import dag

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.operators.batched import batched


@dag(
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    params={"number": 4, "size": 2, "failed": 1, "mended": ""},
)
def redrive():
    """Items of which some fail until a file is there."""

    @generator
    def orders(number):
        return [{"id": place} for place in range(int(number))]

    @batched
    def ship(order, params):
        batch, place = divmod(order["id"], params["size"])
        # One in each batch, two in the first of them: 40 are in 30 batches.
        failed = params["failed"]
        spread = -(-3 * failed // 4)
        if batch < spread and place < 1 + (batch < failed - spread) and not Path(params["mended"]).exists():
            raise ValueError("not mended yet")

    given = orders.override(batch_size="{{ params.size }}")(number="{{ params.number }}")
    collect(ship.expand(order=given), tolerated_failure_percentage=100)


redrive()
