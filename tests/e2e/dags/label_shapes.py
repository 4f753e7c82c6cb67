"""One labelled task for each shape of a plan; of each one instance runs until the gate opens, the others wait."""

from __future__ import annotations

import time
from pathlib import Path

import pendulum

from airflow_mapping_kit.compat import BaseOperator, dag, task, task_group
from airflow_mapping_kit.generators import batches, date_range, product
from airflow_mapping_kit.labels import label

GATE = "{{ params.gate }}"
# One runs and the others wait.
ONE = {"max_active_tis_per_dagrun": 1, "retries": 0}


def wait_for(gate):
    """Return when the file is there."""
    deadline = time.monotonic() + 240
    while not Path(gate).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Nobody opened {gate}.")
        time.sleep(0.1)


class GateOperator(BaseOperator):
    """A classic operator whose mapped argument is a partition."""

    template_fields = ("partition", "gate")

    def __init__(self, *, partition, gate, **kwargs):
        super().__init__(**kwargs)
        self.partition = partition
        self.gate = gate

    def execute(self, context):
        wait_for(self.gate)


def waits(**options):
    """Make a task that takes anything and waits for the gate."""

    def work(gate, one=None, two=None, origin=None, date=None):
        wait_for(gate)

    return task(**ONE, **options)(work)


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1), params={"gate": ""})
def label_shapes():
    partitions = product(origin=["EWR", "JFK"], date=["2013-01-01"])
    dates = date_range("2013-01-01", "2013-01-02")

    def shape(name, text):
        return waits(task_id=name, map_index_template=label(text)).partial(gate=GATE)

    # One slot of the executor is left for it when an instance of every shape runs.
    @task
    def turning(params=None):
        turned = Path(params["gate"]).with_name("turned")
        names = ["new A", "new B"] if turned.exists() else ["old A", "old B"]
        turned.touch()
        return names

    shape("xcom", "{origin} {date}").expand(one=partitions)
    shape("kwargs", "{origin} of {date}").expand_kwargs(partitions)
    shape("zipped", "{one[0][origin]} with {one[1]}").expand(one=partitions.zip(dates))
    shape("concatenated", "{one}").expand(one=turning().concat(dates))
    shape("literals", "literal {one}").expand(one=["a", "b"])
    # In a serialized DAG that is stored sorted, `one` would come first.
    shape("crossed", "{two} x {one[origin]}").expand(two=["z", "a", "m"], one=partitions)
    shape("batched", "{origin}").expand(one=batches(partitions, batch_size=2))
    shape("inside", "{origin} {gate}").expand(one=partitions)
    shape("mapped", "{one}").expand(one=dates.map(lambda date: f"day {date}"))
    shape("templated", "{one}").expand(one=["{{ params.gate }}", "plain"])
    GateOperator.partial(task_id="classic", gate=GATE, map_index_template=label("{origin}"), **ONE).expand(
        partition=partitions
    )

    @task
    def name(partition):
        return f"from {partition['origin']}"

    shape("chained", "{one}").expand(one=name.expand(partition=partitions))

    @task_group
    def grouped(partition):
        waits(task_id="first", map_index_template=label("{origin}"))(GATE, one=partition)

    grouped.expand(partition=partitions)

    waits(task_id="unlabelled").partial(gate=GATE).expand(one=partitions)
    waits(task_id="foreign", map_index_template="{{ task.op_kwargs['one']['origin'] }}!").partial(
        gate=GATE
    ).expand(one=partitions)


label_shapes()
