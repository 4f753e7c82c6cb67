"""A run of another DAG for each item."""
import requests
from airflow import DAG
from airflow.api.common.trigger_dag import trigger_dag
from airflow.decorators import dag, task
from airflow.operators.python import PythonOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator
from airflow_multi_dagrun.operators import TriggerMultiDagRunOperator


@task
def confs():
    return [{"order": 1}, {"order": 2}]


@task
def arguments():
    return [{"trigger_run_id": "a", "conf": {"order": 1}}]


@task
def routed():
    return [{"trigger_dag_id": "eu", "conf": {}}, {"trigger_dag_id": "us", "conf": {}}]


with DAG("orders"):
    TriggerDagRunOperator.partial(task_id="a", trigger_dag_id="ship").expand(conf=confs())  # MAP001: 5 "'ship'"
    TriggerDagRunOperator.partial(task_id="b", trigger_dag_id="ship").expand_kwargs(arguments())  # MAP001: 5
    partial = TriggerDagRunOperator.partial(task_id="c", trigger_dag_id="ship", reset_dag_run=True)
    partial.expand(conf=[{"order": 1}])  # MAP001: 5
    # Each item says which DAG it is for: a router.
    TriggerDagRunOperator.partial(task_id="d").expand(trigger_dag_id=["eu", "us"])
    TriggerDagRunOperator.partial(task_id="e").expand_kwargs(routed())
    TriggerDagRunOperator.partial(task_id="f", trigger_dag_id="eu").expand_kwargs(routed())
    # One run is no run an item.
    TriggerDagRunOperator(task_id="g", trigger_dag_id="ship")
    TriggerMultiDagRunOperator(task_id="h", trigger_dag_id="ship", python_callable=confs)  # MAP001: 5
    for number in range(30):
        TriggerDagRunOperator(  # MAP001: 9 "A loop creates a task for each item"
            task_id=f"ship_{number}",
            trigger_dag_id="ship",
            conf={"chunk": number},
        )
    # A chain of different DAGs is an orchestrator.
    for name in ["extract", "load"]:
        TriggerDagRunOperator(task_id=f"run_{name}", trigger_dag_id=name, conf={"name": name})


def start_all(orders, **context):
    for order in orders:
        trigger_dag(dag_id="ship", run_id=f"ship_{order['id']}", conf=order)  # MAP001: 9 "A loop in a task starts"


def start_models(models, **context):
    for model in models:
        target = DAGS[model]
        trigger_dag(dag_id=target, run_id=f"transform_{model}", conf={"model": model})


def start_one(order):
    trigger_dag("ship", conf=order)  # MAP001: 5 "A loop in a task starts"


def start_by_helper(orders):
    for order in orders:
        start_one(order)


def post_all(orders, **context):
    for order in orders:
        requests.post("http://airflow:8080/api/v1/dags/ship/dagRuns", json={"conf": order})  # MAP001: 9


def wait_for_it(run_id):
    while True:
        requests.post("http://airflow:8080/api/v1/dags/ship/dagRuns", json={})
        break


DAGS = {}
PythonOperator(task_id="i", python_callable=start_all)
PythonOperator(task_id="j", python_callable=start_models)
PythonOperator(task_id="k", python_callable=start_by_helper)
PythonOperator(task_id="l", python_callable=post_all)
PythonOperator(task_id="m", python_callable=wait_for_it)


@dag
def mapped_function():
    @task
    def one(order):
        trigger_dag("ship", conf=order)  # MAP001: 9 "Each mapped instance"

    one.expand(order=[1, 2])


mapped_function()

if __name__ == "__main__":
    for order in [1, 2]:
        trigger_dag(dag_id="ship", conf={"order": order})
