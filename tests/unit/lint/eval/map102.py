"""Tasks that are called within a running task."""
from airflow import DAG
from airflow.decorators import dag, task, task_group
from airflow.operators.python import PythonOperator


@task
def send_mail(text):
    print(text)


@task
def check(rows):
    if not rows:
        send_mail("no rows")  # MAP102: 9 "send_mail is a task"
    return rows


@task
def mapped_inside(rows):
    return send_mail.expand(text=rows)  # MAP102: 12


def classic():
    send_mail.override(task_id="x")("text")  # MAP102: 5


@task
def by_its_function(rows):
    send_mail.function("text")


@task
def imports_one_of_that_name(rows):
    from helpers import send_mail

    send_mail("text")


@task
def takes_one_of_that_name(send_mail):
    send_mail("text")


@task_group
def group():
    send_mail("in a group")


@dag
def declared():
    check([1])
    group()
    send_mail("once")


def made_by_a_function(name):
    with DAG(name):
        send_mail("in a DAG")


PythonOperator(task_id="classic", python_callable=classic)
declared()
