"""Download and process every endpoint of an API, many of them in one instance.

The work is that of `api_endpoints`, for an API with thousands of endpoints. An instance takes a batch of them,
requests several at once, and tries failed ones again. Each endpoint still has its own state and row.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from http import HTTPStatus

import pendulum

try:
    from airflow.sdk import BaseHook, Param, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.hooks.base import BaseHook
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.labels import label

CONNECTION = "api"


async def get(path: str):
    """Return what the API answers, having waited where it says `Retry-After`."""
    import httpx

    api = BaseHook.get_connection(CONNECTION)
    # The connection says where the API is: don't use a proxy of the worker.
    async with httpx.AsyncClient(
        base_url=f"{api.schema or 'http'}://{api.host}:{api.port}", trust_env=False, timeout=60
    ) as client:
        while (answer := await client.get(path)).status_code == HTTPStatus.TOO_MANY_REQUESTS:
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        answer.raise_for_status()
        return answer.json()


@dag(
    dag_display_name="API: every endpoint, in batches",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    params={
        "tolerated": Param(20, type="number", minimum=0, maximum=100, description="Per cent that may fail"),
    },
    tags=["example", "batches"],
    doc_md=__doc__,
)
def api_endpoints_batched():
    @task(task_display_name="Ask which endpoints there are")
    def endpoints() -> list[str]:
        return asyncio.run(get("/endpoints"))

    @task.batched(
        task_display_name="Download",
        map_index_template=label("{endpoint}"),
        concurrency=8,
        item_retries=2,
        item_retry_delay=timedelta(seconds=0.5),
        item_timeout=timedelta(seconds=30),
    )
    async def download(endpoint: str) -> list[dict]:
        return await get(f"/data/{endpoint}")

    # If an endpoint of a batch failed, the others are processed all the same.
    @task.batched(task_display_name="Process", trigger_rule="all_done")
    def process(rows: list[dict]) -> dict:
        return {"rows": len(rows), "total": sum(row["amount"] for row in rows)}

    @task(task_display_name="Merge")
    def merge(report: dict) -> dict:
        merged = {row["key"]: row["value"] for row in report["results"] if row["state"] == "success"}
        return {
            "endpoints": merged,
            "total": sum(each["total"] for each in merged.values()),
            "without": {row["key"]: row["error"]["message"] for row in report["results"] if row["error"]},
        }

    downloaded = download.expand(endpoint=batches(endpoints(), batch_size=3))
    merge(collect(process.expand(rows=downloaded), tolerated_failure_percentage="{{ params.tolerated }}"))


api_endpoints_batched()
