"""What others are told of pieces: OpenLineage, StatsD, and whoever is notified."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow_mapping_kit.compat import AIRFLOW_3, AirflowFailException, dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator

if AIRFLOW_3:
    from airflow.sdk import BaseNotifier
else:
    from airflow.notifications.basenotifier import BaseNotifier

FOLDER = Path(os.environ.get("TOLD_FOLDER", "/nowhere"))


class Noted(BaseNotifier):
    """A notifier as those of the providers are: its text is a template."""

    template_fields = ("text",)

    def __init__(self, text):
        super().__init__()
        self.text = text

    def notify(self, context):
        with (FOLDER / "notes.txt").open("a") as notes:
            notes.write(f"{self.text}\n")


@dag(schedule=None, start_date=datetime(2024, 1, 1))
def told():
    """Two of three partitions pass, and three of four items."""
    load = DuckDBPartitionOperator.partial(
        task_id="load",
        sql=f"SELECT number FROM read_csv('{FOLDER}/raw/*.csv') WHERE origin = $origin",
        target=str(FOLDER / "lake"),
        map_index_template=label("{origin}"),
        on_failure_callback=Noted("{{ ti.task_id }} of {{ ti.rendered_map_index }} failed"),
    ).expand(partition=[{"origin": "EWR"}, {"origin": "Zoë's/%2F\n<b>"}, {"origin": "LGA"}])
    collect(load, tolerated_failure_count=1)

    DuckDBPartitionOperator.partial(
        task_id="hidden",
        sql="SELECT 1 AS number, $token AS token",
        target=str(FOLDER / "kept"),
    ).expand(partition=[[{"token": "quokka-zyzzyva-77"}, {"token": "walrus-zyzzyva-78"}]])

    @task.batched(retries=1, retry_delay=0.1)
    def ship(order):
        if order == 3:
            raise ValueError("no such order")
        if order == 4:
            raise AirflowFailException("gone")

    ship.expand(order=[[1, 2], [3, 4]])


told()
