"""Airflow 3: the API server, the scheduler, the DAG processor and the triggerer end in mid-run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chaos import strikes
from chaos.experiment import experiment
from chaos.works.children import Children
from chaos.works.items import Items
from chaos.works.lakes import Lake
from chaos.works.rows import Replaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from chaos.cluster import Cluster
    from chaos.verdict import Seen


def _restarted(cluster: Cluster, chance: Random, run_id: str, part: str, down: float) -> Iterator[Seen]:
    works = [
        Items(cluster, f"{run_id}-items", items=300),
        Lake(cluster, f"{run_id}-lake", days=4),
        Replaced(cluster, f"{run_id}-rows"),
        Children(cluster, f"{run_id}-children", children=12),
    ]
    for work in works:
        work.begin()
    for moment in strikes.moments(chance, 2, 40):
        strikes.when_done(cluster, works, moment)
        cluster.parts[part].kill()
        time.sleep(chance.uniform(1, down))
        cluster.parts[part].restart()
        struck = time.time()
    for work in works:
        yield work.seen(struck)


@experiment(
    "api-restarted", "The API server is killed and is back within 10 s, twice in a run", group="three"
)
def api(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the API server."""
    yield from _restarted(cluster, chance, run_id, "api-server", 10)


@experiment(
    "scheduler-restarted",
    "The scheduler is killed with its tasks and is back within 10 s, twice",
    group="three",
)
def scheduler(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the scheduler, and with it LocalExecutor's tasks."""
    yield from _restarted(cluster, chance, run_id, "scheduler", 10)


@experiment(
    "processor-restarted", "The DAG processor is killed and is back within 10 s, twice", group="three"
)
def processor(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the DAG processor."""
    yield from _restarted(cluster, chance, run_id, "processor", 10)


@experiment("triggerer-restarted", "The triggerer is killed and is back within 10 s, twice", group="three")
def triggerer(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the triggerer."""
    yield from _restarted(cluster, chance, run_id, "triggerer", 10)
