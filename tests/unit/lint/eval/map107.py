"""How many tasks there are is asked outside."""
import json

import requests
from airflow import DAG
from airflow.decorators import task
from airflow.models import Variable
from airflow.operators.bash import BashOperator
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.postgres.hooks.postgres import PostgresHook


def tables():
    return PostgresHook("warehouse").get_records("SELECT name FROM tables")  # MAP107: 12


with DAG("asks"):
    for key in S3Hook("aws").list_keys("lake", "in/"):  # MAP107: 16 "each time that Airflow parses the file"
        BashOperator(task_id=f"load_{key}", bash_command=f"load {key}")
    for name in tables():
        BashOperator(task_id=f"load_{name}", bash_command=f"load {name}")
    answer = requests.get("http://config/items").json()  # MAP107: 14
    for item in answer["items"]:
        BashOperator(task_id=f"item_{item}", bash_command=f"item {item}")
    # Airflow's own linters mark these.
    for name in json.loads(Variable.get("names")):
        BashOperator(task_id=f"name_{name}", bash_command=f"name {name}")
    for name in ["a", "b"]:
        BashOperator(task_id=f"fixed_{name}", bash_command=f"name {name}")

    @task
    def in_a_task():
        for key in S3Hook("aws").list_keys("lake", "in/"):
            print(key)

    in_a_task()
