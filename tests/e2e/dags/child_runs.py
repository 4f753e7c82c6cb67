"""Parents that start a run per item of another DAG, and the DAGs whose runs they start."""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.decorators import dag, task
from airflow.operators.empty import EmptyOperator

from airflow_mapping_kit.operators.dagrun import TriggerDagRunPerItemOperator

START = pendulum.datetime(2024, 1, 1)


def parent(dag_id, child, **arguments):
    """Make a DAG whose items and whose conf come from its own conf."""

    @dag(dag_id=dag_id, schedule=None, start_date=START, params={"items": [], "folder": "", "by": ""},
         render_template_as_native_obj=True)  # fmt: skip
    def build():
        TriggerDagRunPerItemOperator(
            task_id="ship",
            trigger_dag_id=child,
            items="{{ params['items'] }}",
            conf={"folder": "{{ params.folder }}", "by": "{{ params.by }}"},
            poll_interval=0.5,
            **arguments,
        )

    build()


@dag(schedule=None, start_date=START, max_active_runs=100)
def child_of_nothing():
    """Ends without a worker."""
    EmptyOperator(task_id="nothing")


@dag(schedule=None, start_date=START, max_active_runs=100)
def child_that_counts():
    """Writes down each time that it works on its item; for the item `broken` the first time is in vain."""

    @task(pool="shared")
    def count(dag_run=None):
        item = dag_run.conf["item"]
        file = Path(dag_run.conf["folder"], str(item))
        with file.open("a") as lines:
            lines.write("x\n")
        if item == "broken" and len(file.read_text().splitlines()) == 1:
            raise ValueError("not the first time")

    count()


parent("parent_of_nothing", "child_of_nothing")
# The parent takes a slot that its children need.
parent("parent_in_the_pool_of_its_children", "child_that_counts", pool="shared")
parent("parent_that_retries", "child_that_counts", retries=1, retry_delay=0)
child_of_nothing()
child_that_counts()
