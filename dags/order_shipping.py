"""One shipping order for each item of an order, three at a time. An item that can't be shipped stops no other.

An item whose customer has no postcode fails. The summary says which ones, and the order stays open. Correct the
address book, and clear these items and their downstream tasks: no other item is shipped again.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pendulum

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label

INCLUDE = Path(__file__).resolve().parents[1] / "include"


@dag(
    dag_display_name="Orders: one shipping order per item",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    max_active_tasks=3,
    params={
        "order": Param(str(INCLUDE / "data" / "order.json"), type="string"),
        "address_book": Param(str(INCLUDE / "data" / "addresses.json"), type="string"),
        "target": Param(
            str(INCLUDE / "lake" / "shipping"), type="string", description="Where shipping orders go"
        ),
        "tolerated": Param(3, type="integer", minimum=0, description="How many items the summary may miss"),
    },
    tags=["example", "fan-in", "retry"],
    doc_md=__doc__,
)
def order_shipping():
    @task(task_display_name="Read the order's items")
    def items(order: str) -> list[dict]:
        return json.loads(Path(order).read_text())["items"]

    @task(
        task_display_name="Ship one item", map_index_template=label("item {item}: {article} for {customer}")
    )
    def ship(piece: dict, address_book: str, target: str) -> dict:
        address = json.loads(Path(address_book).read_text())[piece["customer"]]
        if not address["postcode"]:
            raise ValueError(f"{piece['customer']} has no postcode in {address_book}")
        folder = Path(target)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"item-{piece['item']:02}.json"
        # The carrier's program reads this folder, so a file must be complete when it appears.
        descriptor, unfinished = tempfile.mkstemp(dir=folder, prefix=".", suffix=".unfinished")
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump({**piece, "to": address}, file)
            Path(unfinished).replace(path)
        finally:
            Path(unfinished).unlink(missing_ok=True)
        return {"item": piece["item"], "path": str(path)}

    @task(task_display_name="Summarise")
    def summarise(report: dict) -> dict:
        return {
            "shipped": [row["value"]["item"] for row in report["results"] if row["state"] == "success"],
            "to_mend": {row["label"]: row["error"]["message"] for row in report["results"] if row["error"]},
        }

    # Airflow's default trigger rule: a failed item keeps the order open.
    @task(task_display_name="Close the order")
    def close_order(order: str) -> str:
        return f"{json.loads(Path(order).read_text())['order']} is shipped"

    # [START mapping]
    shipped = ship.partial(address_book="{{ params.address_book }}", target="{{ params.target }}").expand(
        piece=items("{{ params.order }}")
    )
    summarise(collect(shipped, tolerated_failure_count="{{ params.tolerated }}"))
    shipped >> close_order("{{ params.order }}")
    # [END mapping]


order_shipping()
