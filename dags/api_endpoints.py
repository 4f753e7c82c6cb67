"""Download and process every endpoint of an API. Only the API knows which endpoints it has.

Some are slow, some answer with an error, some ask the client to wait. An endpoint that stays broken doesn't stop
the others, and the merge says which ones are missing, and why.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import BaseHook, Param, dag, task, task_group
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task, task_group
    from airflow.hooks.base import BaseHook
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label

CONNECTION = "api"


def get(path: str):
    """Return what the API answers, having waited where it says `Retry-After`."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    api = BaseHook.get_connection(CONNECTION)
    with requests.Session() as session:
        # The connection says where the API is: don't use a proxy of the worker.
        session.trust_env = False
        patient = Retry(total=5, status_forcelist=[429], respect_retry_after_header=True)
        session.mount("http://", HTTPAdapter(max_retries=patient))
        session.mount("https://", HTTPAdapter(max_retries=patient))
        answer = session.get(f"{api.schema or 'http'}://{api.host}:{api.port}{path}", timeout=60)
        answer.raise_for_status()
        return answer.json()


@dag(
    dag_display_name="API: download and process every endpoint, merge",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    params={
        "tolerated": Param(20, type="number", minimum=0, maximum=100, description="Per cent that may fail"),
    },
    tags=["example", "fan-in", "task group"],
    doc_md=__doc__,
)
def api_endpoints():
    @task(task_display_name="Ask which endpoints there are")
    def endpoints() -> list[str]:
        return get("/endpoints")

    @task_group(group_id="endpoint")
    def processed(endpoint: str):
        @task(
            task_display_name="Download",
            map_index_template=label("{endpoint}"),
            # If the API answers with an error, the next try may succeed.
            retries=1,
            retry_delay=timedelta(seconds=1),
        )
        def download(endpoint: str) -> list[dict]:
            return get(f"/data/{endpoint}")

        @task(task_display_name="Process", map_index_template=label("{endpoint}"))
        def process(rows: list[dict]) -> dict:
            return {"rows": len(rows), "total": sum(row["amount"] for row in rows)}

        return process(download(endpoint))

    @task(task_display_name="Merge")
    def merge(report: dict) -> dict:
        merged = {row["label"]: row["value"] for row in report["results"] if row["state"] == "success"}
        return {
            "endpoints": merged,
            "total": sum(each["total"] for each in merged.values()),
            "without": {row["label"]: row["error"]["message"] for row in report["results"] if row["error"]},
        }

    every = processed.expand(endpoint=endpoints())
    merge(collect(every, tolerated_failure_percentage="{{ params.tolerated }}"))


api_endpoints()
