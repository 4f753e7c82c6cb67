#!/usr/bin/env python
"""Labels."""
from airflow.decorators import task
from airflow.operators.bash import BashOperator


@task
def plain(x):
    return "ä", x


@task()
def empty(x):
    return x


@task(
    retries=2,
    pool="small",
)
def on_lines(x):
    return x


@task(retries=2)  # twice
def commented(x):
    return x


@task(**{"retries": 2})
def spread(x):
    return x


plain.expand(x=[1])
empty.expand(x=[1])
on_lines.expand(x=[1])
commented.expand(x=[1])
spread.expand(x=[1])
BashOperator.partial(task_id="ü").expand(bash_command=["ls"])
