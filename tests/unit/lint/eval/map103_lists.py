"""Operators that are made in a running task: lists of them, by helpers, returned."""
from airflow.decorators import task
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator


@task
def each(names):
    return [BashOperator(task_id=name, bash_command="ls") for name in names]  # MAP103: 13 "returns it"


@task
def appended(names):
    found = []
    for name in names:
        found.append(BashOperator(task_id=name, bash_command="ls"))  # MAP103: 22 "returns it"
    return found


@task
def named_first(names):
    found = []
    for name in names:
        one = BashOperator(task_id=name, bash_command="ls")  # MAP103: 15 "returns it"
        found.append(one)
    return found


@task
def chained(names):
    found = []
    for name in names:
        one = BashOperator(task_id=name, bash_command="ls")  # MAP103: 15 "never run"
        found.append(one)
    found >> BashOperator(task_id="end", bash_command="ls")  # MAP103: 14


@task
def run_later(names, **context):
    found = []
    for name in names:
        one = BashOperator(task_id=name, bash_command="ls")
        found.append(one)
    for each in found:
        each.execute(context)


@task
def mapped(name):
    return TriggerDagRunOperator(task_id=name, trigger_dag_id="ship")  # MAP103: 12 "returns it"


def create(name):
    start = BashOperator(task_id=f"start_{name}", bash_command="ls")  # MAP103: 13
    load = GCSToBigQueryOperator(task_id=name, source_objects=[name])  # MAP103: 12
    start >> load


def for_all(**context):
    for name in context["ti"].xcom_pull(task_ids="names"):
        create(name)


def make(name):
    return BashOperator(task_id=name, bash_command="ls")


@task
def helped(name, **context):
    make(name).execute(context)  # MAP104: 5


@task
def again(names, **context):
    one = BashOperator(task_id="a", bash_command="ls")
    one.execute(context)  # MAP104: 5 "BashOperator"
    one = GCSToBigQueryOperator(task_id="b", source_objects=names)
    one.execute(context)  # MAP104: 5 "GCSToBigQueryOperator"


def chosen(**context):
    return TriggerDagRunOperator(task_id="t", trigger_dag_id="ship") if context["ds"] else None  # MAP103: 12


mapped.expand(name=["a", "b"])
PythonOperator(task_id="for_all", python_callable=for_all)
PythonOperator(task_id="chosen", python_callable=chosen)
