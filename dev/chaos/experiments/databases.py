"""Airflow's database: thrown back to its log, frozen, without a connection left."""

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
    from collections.abc import Callable, Iterator
    from random import Random

    from chaos.cluster import Cluster
    from chaos.verdict import Seen

FROZEN = 30.0


def _struck(
    cluster: Cluster, chance: Random, run_id: str, fault: Callable[[], object], times: int
) -> Iterator[Seen]:
    works = [
        Items(cluster, f"{run_id}-items", items=400),
        Lake(cluster, f"{run_id}-lake", days=6),
        Replaced(cluster, f"{run_id}-rows"),
        Children(cluster, f"{run_id}-children"),
    ]
    for work in works:
        work.begin()
    with strikes.revived(cluster) as started:
        for moment in strikes.moments(chance, times, 60):
            strikes.when_done(cluster, works, moment)
            fault()
            struck = time.time()
        for work in works:
            seen = work.seen(struck)
            seen.told["parts that ended by themselves"] = sorted(started)
            yield seen


@experiment(
    "database-crashed", "PostgreSQL crashes and recovers at once, three times in a run", group="patient"
)
def crashed(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Crash the database."""
    yield from _struck(cluster, chance, run_id, lambda: strikes.crash_database(cluster), 3)


@experiment("database-frozen", f"PostgreSQL freezes for {FROZEN:.0f} s", group="patient")
def frozen(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Freeze the database."""
    yield from _struck(cluster, chance, run_id, lambda: strikes.freeze_database(cluster, FROZEN), 1)


@experiment("database-full", "All connections of PostgreSQL are taken by others for 20 s", group="patient")
def full(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Take all connections of the database."""
    yield from _struck(cluster, chance, run_id, lambda: strikes.exhaust_database(cluster, 20), 1)


@experiment(
    "small-pools", "Each part of Airflow may hold one connection to the database, and no other", group="pool"
)
def small_pools(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:  # noqa: ARG001 - nothing to choose
    """Let works run in the smallest pool there is."""
    works = [
        Items(cluster, f"{run_id}-items", items=300),
        Lake(cluster, f"{run_id}-lake", days=5),
        Children(cluster, f"{run_id}-children"),
    ]
    for work in works:
        work.begin()
    begun = time.time()
    for work in works:
        yield work.seen(begun)
