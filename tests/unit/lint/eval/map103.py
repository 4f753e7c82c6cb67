"""Operators that are made within a task and not run."""
from airflow.decorators import task
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor

from shop import OrderOperator


@task
def waits(prefix):
    S3KeySensor(task_id="wait", bucket_key=prefix)  # MAP103: 5 "never run"


@task
def made_and_dropped():
    operator = BashOperator(task_id="a", bash_command="ls")  # MAP103: 16
    first = BashOperator(task_id="b", bash_command="ls")  # MAP103: 13
    second = BashOperator(task_id="c", bash_command="ls")  # MAP103: 14
    first >> second


@task
def returned(name):
    return BashOperator(task_id=name, bash_command="ls")  # MAP103: 12 "returns it"


@task
def somebody_runs_it(run):
    run(BashOperator(task_id="a", bash_command="ls"))
    return None


@task
def a_client_of_that_name():
    OrderOperator()


def makes_tasks(number):
    return BashOperator(task_id=f"t{number}", bash_command="ls")


makes_tasks(1) >> makes_tasks(2)
