"""Loops that make one task an item."""
from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("loops"):
    for name in ["a", "b"]:  # MAP402: 5
        BashOperator(task_id=f"load_{name}", bash_command=f"load {name}")
    for name in ["a", "b"]:
        first = BashOperator(task_id=f"first_{name}", bash_command=f"load {name}")
        second = BashOperator(task_id=f"second_{name}", bash_command=f"load {name}")
        first >> second
