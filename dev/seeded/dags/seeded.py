"""DAGs whose histories are written by `seeded.histories`, not run. They run too, and do nothing dear."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, date_range, generator, product
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.reload import reload_params, reload_partitions

START = pendulum.datetime(2013, 1, 1)


def reloaded(dag_id: str, origins: list[str]) -> None:
    """Declare a DAG of origins and days; it has no schedule, so its scheme ends with the last day that a run had."""

    @dag(
        dag_id,
        schedule=None,
        start_date=START,
        is_paused_upon_creation=True,
        params=reload_params(origin=origins),
    )
    def declared() -> None:
        @task(map_index_template=label("{origin} {date}"))
        def load(partition: dict[str, str]) -> str:
            return f"{partition['origin']} {partition['date']}"

        collect(load.expand(partition=reload_partitions()))

    declared()


# Two of the same, so that one can be mended and the other stays as it is.
reloaded("flights", ["EWR", "JFK", "LGA"])
reloaded("mended", ["EWR", "JFK", "LGA"])
reloaded("even_1095", ["EWR", "JFK", "LGA"])
reloaded("even_10000", [f"A{number:02}" for number in range(10)])


@dag("batched_100000", schedule=None, start_date=START, is_paused_upon_creation=True)
def batched_100000() -> None:
    """Have 100,000 partitions in batches of 100."""

    @batched(concurrency=4)
    def load(partition: dict[str, str]) -> str:
        return f"{partition['origin']} {partition['date']}"

    days = date_range("2013-01-01", str(START.add(days=3999).date()))
    everything = product(origin=[f"A{number:02}" for number in range(25)], date=days)
    collect(load.expand(partition=batches(everything, batch_size=100)))


batched_100000()


def sliced(dag_id: str) -> None:
    """Declare a DAG of objects as they are listed, in batches by reference."""

    @dag(dag_id, schedule=None, start_date=START, is_paused_upon_creation=True)
    def declared() -> None:
        @generator
        def landed() -> list[list[str]]:
            return [["landing/2013/00000/part-00000000.parquet"]]

        @batched(concurrency=4)
        def load(key: str) -> str:
            return key

        collect(load.expand(key=landed()))

    declared()


sliced("sliced_100000")
sliced("sliced_in_xcoms")
sliced("sliced_1000000")
