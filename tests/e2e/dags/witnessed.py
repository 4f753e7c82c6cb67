"""Batches whose items tell a witness that they were worked on, and what becomes of them there."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from datetime import timedelta

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched


@dag(
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    render_template_as_native_obj=True,
    params={"witness": "", "items": 10, "digits": 0, "batch_size": 10, "tolerated": 0},
)
def witnessed():
    @task
    def items(params=None):
        numbers = range(params["items"])
        return [f"{n:0>{params['digits']}}" for n in numbers] if params["digits"] else list(numbers)

    @batched(concurrency=4, retries=1, retry_delay=timedelta(0))
    def work(item, params=None, ti=None):
        item = int(item)
        call = urllib.request.Request(
            params["witness"], json.dumps({"item": item, "try": ti.try_number, "pid": os.getpid()}).encode()
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(call, timeout=60) as answer:
            told = answer.read().decode()
        if told == "hang":
            with subprocess.Popen(["sleep", "3600"]):
                while True:
                    time.sleep(0.05)
        if told == "fail":
            raise ValueError(f"item {item} is broken")
        return item * 2

    plan = batches(items(), batch_size="{{ params.batch_size }}")
    collect(work.expand(item=plan), tolerated_failure_count="{{ params.tolerated }}")


witnessed()
