"""Runs that are started by operators which call the API."""
from airflow import DAG
from airflow.providers.http.operators.http import HttpOperator, SimpleHttpOperator

with DAG("posts"):
    HttpOperator.partial(task_id="each", endpoint="api/v1/dags/ship/dagRuns").expand(data=["{}"])  # MAP001: 5
    for order in [1, 2]:
        SimpleHttpOperator(  # MAP001: 9 "A loop creates a task for each item"
            task_id=f"ship_{order}",
            endpoint="api/v1/dags/ship/dagRuns",
            data=f'{{"conf": {{"order": {order}}}}}',
        )
    for name in ["a", "b"]:
        SimpleHttpOperator(task_id=f"run_{name}", endpoint=f"api/v1/dags/{name}/dagRuns", data="{}")
    SimpleHttpOperator(task_id="once", endpoint="api/v1/dags/ship/dagRuns", data="{}")
    HttpOperator.partial(task_id="other", endpoint="api/v1/orders").expand(data=["{}"])
