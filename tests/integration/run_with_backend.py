"""Runs a plan of slices in a process whose XComs a backend of the deployment's own keeps, and tells what it saw.

As a program: Airflow chooses its backend when it is first imported.
"""

from __future__ import annotations

import json
import sys

import pendulum

from airflow_mapping_kit.compat import own_session, xcom_model
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.plans import early_labels
from airflow_mapping_kit.plans.held import batch_of
from airflow_mapping_kit.reading import of_task
from airflows import BaseOperator, dag, dag_test, xcom_of


class Sum(BaseOperator):
    """Add up a batch of numbers, wherever it is kept."""

    takes_slices = True

    def __init__(self, *, numbers, **kwargs):
        super().__init__(**kwargs)
        self.numbers = numbers

    @staticmethod
    def batch_parameter(_):
        return "numbers"

    def execute(self, context):
        """Return the sum."""
        ti = context["ti"]
        return sum(one["id"] for one in batch_of(self.numbers, of_task(ti), ti.dag_id, ti.run_id))


@generator
def numbers():
    yield from ({"id": i, "why": "as many bytes as it takes"} for i in range(12_000))


@generator
def accounts():
    yield from ({"id": i, "password": "quokka", "why": "as many bytes as it takes"} for i in range(6_000))


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def with_backend():
    total = Sum.partial(task_id="total", map_index_template=label("{id}"))
    total.expand(numbers=numbers.override(batch_size=5000)())
    Sum.partial(task_id="secret", map_index_template=label()).expand(
        numbers=accounts.override(batch_size=5000)()
    )


made = with_backend()
run = dag_test(made)
ids = {"dag_id": run.dag_id, "run_id": run.run_id}
total = made.get_task("total")
# `dag.test()` makes instances of a serialized DAG into which no policy has written which task works on batches.
early_labels.forget(**ids)
with own_session() as session:
    rows = (
        session.query(xcom_model().task_id, xcom_model().key, xcom_model().map_index, xcom_model().value)
        .filter_by(**ids)
        .all()
    )
seen = {
    "sums": [xcom_of(run, "total", map_index=index) for index in range(3)],
    "labels": [early_labels.of_instance(total, **ids, map_index=index) for index in range(3)],
    "secret": early_labels.of_instance(made.get_task("secret"), **ids, map_index=0),
    "xcoms": {f"{row.task_id} {row.key} {row.map_index}": str(row.value) for row in rows},
}
json.dump(seen, sys.stdout)
