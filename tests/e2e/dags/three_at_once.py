"""Twelve instances of which three may run at once."""

from __future__ import annotations

import time
from pathlib import Path

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.generators import product
from airflow_mapping_kit.labels import label


@dag(
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    max_active_tasks=3,
    params={"folder": ""},
)
def three_at_once():
    @task(map_index_template=label("number {n}"))
    def work(partition, folder):
        """Stay until three instances are seen together, and return the most that were seen."""
        here, three_met = Path(folder, f"running-{partition['n']}"), Path(folder, "three-met")
        here.touch()
        deadline, most = time.monotonic() + 120, 0
        try:
            while True:
                most = max(most, len(list(Path(folder).glob("running-*"))))
                if most >= 3:
                    three_met.touch()
                if three_met.exists():
                    return most
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Never saw three instances, but {most}.")
                time.sleep(0.05)
        finally:
            here.unlink()

    work.partial(folder="{{ params.folder }}").expand(partition=product(n=list(range(12))))


three_at_once()
