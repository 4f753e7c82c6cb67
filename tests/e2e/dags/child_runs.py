"""Parents that start a run per item of another DAG, and the DAGs whose runs they start."""

from __future__ import annotations

from pathlib import Path

import pendulum

from airflow_mapping_kit.compat import AIRFLOW_3, dag, task
from airflow_mapping_kit.operators.dagrun import TriggerDagRunPerItemOperator

if AIRFLOW_3:
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
else:
    from airflow.operators.trigger_dagrun import TriggerDagRunOperator

START = pendulum.datetime(2024, 1, 1)


def parent(dag_id, child, **arguments):
    """Make a DAG whose items and whose conf come from its own conf."""

    @dag(dag_id=dag_id, schedule=None, start_date=START, params={"items": [], "folder": ""},
         render_template_as_native_obj=True)  # fmt: skip
    def build():
        TriggerDagRunPerItemOperator(
            task_id="ship",
            trigger_dag_id=child,
            items="{{ params['items'] }}",
            conf={"folder": "{{ params.folder }}"},
            poke_interval=0.5,
            **arguments,
        )

    build()


def count(item, folder):
    """Write down each time that an item is worked on; of the item `broken` the first time is in vain."""
    file = Path(folder, str(item))
    with file.open("a") as lines:
        lines.write("x\n")
    if item == "broken" and len(file.read_text().splitlines()) == 1:
        raise ValueError("not the first time")


@dag(schedule=None, start_date=START, max_active_runs=100)
def child_that_counts():
    @task(pool="shared")
    def work(dag_run=None):
        count(dag_run.conf["item"], dag_run.conf["folder"])

    work()


@dag(schedule=None, start_date=START, max_active_runs=1)
def child_one_by_one():
    @task
    def work(dag_run=None):
        count(dag_run.conf["item"], dag_run.conf["folder"])

    work()


@dag(schedule=None, start_date=START, params={"items": [], "folder": ""}, render_template_as_native_obj=True)
def parent_by_airflow():
    """Triggers as people do without the kit: a mapped instance an item, each of which waits for its run."""

    @task
    def confs(params=None):
        return [{"item": item, "folder": params["folder"]} for item in params["items"]]

    TriggerDagRunOperator.partial(
        task_id="ship",
        trigger_dag_id="child_that_counts",
        wait_for_completion=True,
        poke_interval=1,
        pool="shared",
    ).expand(conf=confs())


# The parent takes a slot that its children need.
parent("parent_in_the_pool_of_its_children", "child_that_counts", pool="shared")
# A busy machine costs it tries too: what sends no heartbeat for 20 seconds counts as killed here.
parent("parent_that_retries", "child_that_counts", retries=3, retry_delay=0)
parent("parent_of_one_by_one", "child_one_by_one")
parent_by_airflow()
child_that_counts()
child_one_by_one()
