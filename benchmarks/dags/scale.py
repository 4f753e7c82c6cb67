"""A million items in one run: in batches by reference, and in a loop of one task."""

from __future__ import annotations

import json
from pathlib import Path

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.operators.batched import batched

DAG = {
    "schedule": None,
    "start_date": pendulum.datetime(2024, 1, 1),
    "params": {"items": 100, "size": 10, "bytes": 0, "heals": "", "file": ""},
    "render_template_as_native_obj": True,
}


def name(number: int) -> str:
    """Return what an item is: a key of S3, 42 characters."""
    return f"landing/2026-11-26/orders/{number:09}.json.gz"


def work(key: str, size: int, heals: str) -> str | None:
    """Return so much text for an item; fail for one in a hundred until there is a file that heals them."""
    if heals and key.endswith("07.json.gz") and not Path(heals).exists():
        raise ValueError("the answer was 503")
    return "x" * size if size else None


@generator
def keys(items: int):
    """Make the items one by one."""
    for number in range(items):
        yield name(number)


@dag("scale", **DAG)
def scale():
    """Map over the items in batches by reference."""

    @batched
    def one(key, params=None):
        return work(key, params["bytes"], params["heals"])

    made = keys.override(batch_size="{{ params.size }}")(items="{{ params['items'] }}")
    collect(one.expand(key=made))


@dag("scale_loop", **DAG)
def scale_loop():
    """Work on the items in one task, which keeps what they return in a file, and nothing else."""

    @task
    def all_of_them(params=None):
        with Path(params["file"]).open("w") as file:
            for number in range(params["items"]):
                key = name(number)
                file.write(json.dumps({"key": key, "value": work(key, params["bytes"], "")}) + "\n")

    all_of_them()


scale()
scale_loop()
