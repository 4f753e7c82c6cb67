"""Tasks and operators in tasks that are written where a `with` declares the DAG: they are no part of it."""
from airflow import DAG
from airflow.decorators import task
from airflow.operators.bash import BashOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.utils.task_group import TaskGroup

with DAG("mails"):

    @task
    def mail(text):
        print(text)

    @task
    def check():
        mail("file missing")  # MAP102: 9 "mail is a task"

    @task
    def launches(first, last):
        launched = []
        while first < last:
            first += 1
            launched.append(TriggerDagRunOperator(task_id=f"t{first}", trigger_dag_id="load"))  # MAP103: 29 "returns it"
        return launched

    with TaskGroup("group"):
        mail.override(task_id="by_itself")("begun")
        check() >> launches(1, 3)


def declares(name):
    with DAG(name) as declared:
        mail("begun") >> BashOperator(task_id="end", bash_command="true")
    return declared


@task
def makes_a_dag_to_look_at_it():
    return str(declares("other"))
