"""Short files share their frame."""
from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("it", schedule="@daily"):
    BashOperator(task_id="load", bash_command="load it")
