#!/usr/bin/env python
"""Labels."""
from airflow.decorators import task
from airflow.operators.bash import BashOperator
from airflow_mapping_kit.labels import label


@task(map_index_template=label())
def plain(x):
    return "ä", x


@task(map_index_template=label())
def empty(x):
    return x


@task(
    retries=2,
    pool="small",
    map_index_template=label(),
)
def on_lines(x):
    return x


@task(retries=2, map_index_template=label())  # twice
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
BashOperator.partial(task_id="ü", map_index_template=label()).expand(bash_command=["ls"])
