"""Mapped tasks without a label."""
from airflow.decorators import task
from airflow.operators.bash import BashOperator

from airflow_mapping_kit.operators.batched import batched


@task
def plain(x):
    return x


@task(map_index_template="{{ x }}")
def labelled(x):
    return x


@batched
def in_batches(x):
    return x


plain.expand(x=[1])  # MAP108: 1
labelled.expand(x=[1])
in_batches.expand(x=[[1]])
plain.override(map_index_template="{{ x }}").expand(x=[1])
BashOperator.partial(task_id="b").expand(bash_command=["ls"])  # MAP108: 1
