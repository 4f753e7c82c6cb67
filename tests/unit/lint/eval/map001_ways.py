"""A run of another DAG for each item, by other ways: commands, the API behind helpers, threads, mapped functions."""
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import requests
from airflow import DAG
from airflow.api.client.local_client import Client
from airflow.api.common.trigger_dag import trigger_dag
from airflow.decorators import dag, task, task_group
from airflow.models import DagBag
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

from shop.operators import FlexMultiDagRunOperator
from shop.runs import trigger_dag_run

API = "http://airflow:8080/api/v1"
RUNS = f"{API}/dags/ship/dagRuns"
SHIP = "ship"


@task
def by_shell(orders):
    for order in orders:
        subprocess.run(f"airflow dags trigger ship --conf '{order}'", shell=True)  # MAP001: 9 "'ship'"


@task
def by_words(orders):
    for order in orders:
        subprocess.check_call(["airflow", "dags", "trigger", "-c", order, SHIP])  # MAP001: 9


@task
def by_system(orders):
    for order in orders:
        os.system("airflow dags trigger ship --conf {}".format(order))  # MAP001: 9 "'ship'"


@task
def by_sum(orders):
    for order in orders:
        command = "airflow dags trigger ship -c " + order
        os.system(command)  # MAP001: 9


# Which DAG it is comes from the loop: DAGs that failed are started again.
@task
def again(dag_ids):
    for dag_id in dag_ids:
        subprocess.call(f"airflow dags trigger {dag_id}", shell=True)
        subprocess.call(["airflow", "dags", "trigger", dag_id])
        os.system("airflow dags trigger {}".format(dag_id))
        requests.post(f"{API}/dags/{dag_id}/dagRuns", json={})


@task
def other_commands(names):
    for name in names:
        subprocess.run(["airflow", "dags", "unpause", name])
        subprocess.run(f"airflow dags list-runs -d ship | grep {name}", shell=True)


@task
def by_name(orders):
    for order in orders:
        requests.post(RUNS, json={"conf": order})  # MAP001: 9


def address(dag_id):
    return f"{API}/dags/{dag_id}/dagRuns"


@task
def by_address(orders):
    session = requests.Session()
    for order in orders:
        session.post(address("ship"), json={"conf": order})  # MAP001: 9


@task
def by_verb(orders):
    for order in orders:
        requests.request("POST", API + "/dags/ship/dagRuns", json={"conf": order})  # MAP001: 9


@task
def reads_runs(runs):
    for run in runs:
        requests.get(RUNS, params={"run": run})
        requests.request("GET", RUNS, json={"run": run})
        requests.post(f"{API}/dags/~/dagRuns/list", json={"order": run})


def start(dag_id, conf):
    requests.post(f"{API}/dags/{dag_id}/dagRuns", json={"conf": conf})  # MAP001: 5


@task
def by_function(orders):
    for order in orders:
        start("ship", {"order": order})


def route(dag_id, conf):
    trigger_dag(dag_id=dag_id, conf=conf)


@task
def by_route(orders):
    for order in orders:
        route(order["dag"], {"order": order})


@task
def by_client(orders):
    client = Client(None, None)
    for order in orders:
        client.trigger_dag("ship", conf=order)  # MAP001: 9 "'ship'"


@task
def by_own_package(orders):
    for order in orders:
        trigger_dag_run("ship", {"order": order})  # MAP001: 9


@task
def by_model(orders):
    ship = DagBag().get_dag("ship")
    for order in orders:
        ship.create_dagrun(run_id=f"ship_{order}", conf={"order": order})  # MAP001: 9


# A failed run is started again, of the DAG that it was of.
@task
def retries(jobs):
    for job in jobs:
        if job["loaded"]:
            target = "transform"
        else:
            target = "ingest"
        trigger_dag(dag_id=target, run_id=f"again_{job}", conf={"job": job})


def ship_it(order):
    trigger_dag("ship", conf=order)  # MAP001: 5


@task
def in_threads(orders):
    with ThreadPoolExecutor() as pool:
        pool.map(ship_it, orders)


def ship_soon(order):
    trigger_dag("ship", conf=order)  # MAP001: 5


@task
def submitted(orders):
    with ThreadPoolExecutor() as pool:
        for order in orders:
            pool.submit(ship_soon, order)


def ship_mapped(order):
    trigger_dag("ship", conf=order)  # MAP001: 5 "Each mapped instance"


@task
def mapped_with_helper(order):
    ship_mapped(order)


@task
def mapped_with_name(order):
    dag_id = "ship"
    trigger_dag(dag_id=dag_id, conf=order)  # MAP001: 5 "'ship'"


@task
def mapped_router(dag_id):
    trigger_dag(dag_id=dag_id, conf={})


def of_operator(order):
    trigger_dag("ship", conf=order)  # MAP001: 5


@task
def started_once():
    trigger_dag("ship", conf={})


@task_group
def group(order):
    TriggerDagRunOperator(task_id="ship", trigger_dag_id="ship", conf={"order": order})  # MAP001: 5


@task_group
def group_of_dags(dag_id):
    TriggerDagRunOperator(task_id="ship", trigger_dag_id=dag_id)


@task
def commands(orders):
    return [f"airflow dags trigger ship -c '{order}'" for order in orders]


@dag
def all_ways():
    orders = [1, 2]
    for one in (by_shell, by_words, by_system, by_sum, by_name, by_address, by_verb, by_function):
        one(orders)
    by_client(orders), by_own_package(orders), by_model(orders), in_threads(orders), submitted(orders)
    mapped_with_helper.expand(order=orders)
    mapped_with_name.expand(order=orders)
    mapped_router.expand(dag_id=["a", "b"])
    PythonOperator.partial(task_id="of_operator", python_callable=of_operator).expand(op_args=[[1], [2]])
    group.expand(order=orders)
    group_of_dags.expand(dag_id=["a", "b"])
    BashOperator.partial(task_id="bash").expand(bash_command=commands(orders))  # MAP001: 5 "'ship'"
    for order in orders:
        BashOperator(task_id=f"ship_{order}", bash_command=f"airflow dags trigger ship -c {order}")  # MAP001: 9
    for name in ["a", "b"]:
        BashOperator(task_id=f"run_{name}", bash_command=f"airflow dags trigger {name}")


all_ways()
FlexMultiDagRunOperator(task_id="flex", trigger_dag_id="ship", python_callable=commands)  # MAP001: 1 "'ship'"


# Another module calls it.
def make_dag(name, chunks):
    with DAG(name) as made:
        for chunk in chunks:
            TriggerDagRunOperator(task_id=f"c{chunk}", trigger_dag_id="ship", conf={"chunk": chunk})  # MAP001: 13
        [TriggerDagRunOperator(task_id=f"y{y}", trigger_dag_id="ship", conf={"y": y}) for y in chunks]  # MAP001: 10
        [TriggerDagRunOperator(task_id=f"d{d}", trigger_dag_id=d) for d in chunks]
    return made


@task
def from_a_queue(orders):
    while orders:
        order = orders.pop()
        trigger_dag("ship", conf=order)  # MAP001: 9


@task
def tries_to_start(order):
    tried = 0
    while tried < 3:
        tried += 1
        answer = trigger_dag("ship", run_id=f"try_{tried}", conf=order)
        if answer:
            break
