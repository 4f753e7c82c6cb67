"""Work that fails where a witness says so: a group of three steps, 1,000 items in batches, a timeout."""

from __future__ import annotations

import urllib.parse
import urllib.request
from datetime import timedelta

import pendulum

from airflow_mapping_kit.compat import dag, task, task_group
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched import batched

START = pendulum.datetime(2024, 1, 1)
WITNESS = {"witness": ""}
# Never through a proxy: the witness is on the loopback.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def tell(witness, name):
    """Tell the witness what is worked on. It counts, and answers with an error for what is broken."""
    with OPENER.open(f"{witness}/{urllib.parse.quote(name)}", timeout=30) as answer:
        return answer.read().decode()


@dag(schedule=None, start_date=START, params=WITNESS)
def redriven_steps():
    @task_group
    def steps(number, witness):
        @task
        def fetch(number, witness):
            tell(witness, f"fetch {number}")
            return number

        @task(map_index_template=label("number {number}"))
        def check(number, witness):
            tell(witness, f"check {number}")
            return number

        @task
        def keep(number, witness):
            tell(witness, f"keep {number}")
            return number

        return keep(check(fetch(number, witness), witness), witness)

    collect(steps.partial(witness="{{ params.witness }}").expand(number=list(range(10))))


@dag(schedule=None, start_date=START, params=WITNESS)
def redriven_batches():
    @task
    def orders():
        return [{"order": number} for number in range(1, 1001)]

    @batched(concurrency=4)
    def ship(order, witness):
        return tell(witness, f"order {order['order']}")

    collect(
        ship.partial(witness="{{ params.witness }}").expand(order=batches(orders(), batch_size=100)),
        tolerated_failure_count=0,
    )


@dag(
    schedule=None,
    start_date=START,
    params=WITNESS,
    dagrun_timeout=timedelta(seconds=15),
    max_active_tasks=2,
)
def redriven_late():
    @task(map_index_template=label("{piece}"))
    def wait(piece, witness):
        return tell(witness, f"wait {piece}")

    collect(wait.partial(witness="{{ params.witness }}").expand(piece=["a", "b", "c", "d"]))


redriven_steps()
redriven_batches()
redriven_late()
