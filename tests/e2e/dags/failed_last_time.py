"""Of two partitions one fails, whenever it is loaded."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.reload import reload_params, reload_partitions


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    params=reload_params(only=True, origin=["EWR", "JFK"]),
)
def failed_last_time():
    @task(map_index_template=label("{origin} {date}"))
    def load(partition):
        if partition["origin"] == "JFK":
            raise ValueError("there is no such file")

    load.expand(partition=reload_partitions(there=[]))


failed_last_time()
