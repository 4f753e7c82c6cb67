"""Batches whose items tell a witness when their calls began, for as long as somebody steers them."""

from __future__ import annotations

import json
import time
import urllib.request

import pendulum

from airflow_mapping_kit.compat import dag, get_current_context
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.operators.batched import batched


@dag(
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    params={"witness": "", "batches": 3, "items": 10},
    render_template_as_native_obj=True,
)
def steered():
    @generator
    def plan(batches, items):
        return [[[batch, number] for number in range(items)] for batch in range(batches)]

    @batched(concurrency=2, item_retries=1, item_retry_delay=0.1)
    def work(item, params=None):
        began = time.monotonic()
        ti = get_current_context()["ti"]
        told = {"began": began, "item": item, "index": ti.map_index}
        call = urllib.request.Request(params["witness"], json.dumps(told).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(call, timeout=60):
            pass
        if item[1] % 10 == 0:
            raise ValueError("every tenth is broken")

    collect(work.expand(item=plan("{{ params.batches }}", "{{ params['items'] }}")))


steered()
