"""Workers that are killed, alone or with what they have started, and workers that freeze and come back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chaos import strikes
from chaos.experiment import experiment
from chaos.works.children import Children
from chaos.works.items import Items
from chaos.works.keys import Copied, Moved
from chaos.works.lakes import Lake, LakeInBatches, LakeOnS3
from chaos.works.rows import Published, Replaced
from chaos.works.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from chaos.cluster import Cluster
    from chaos.verdict import Seen
    from chaos.witness import Effect
    from chaos.works.work import Work
    from stack.processes import Process


def _struck(
    cluster: Cluster,
    works: list[Work],
    chance: Random,
    faults: list[Callable[[Process], None]],
    instances: int,
) -> Iterator[Seen]:
    for work in works:
        work.begin()
    for at, fault in zip(strikes.moments(chance, len(faults), instances), faults, strict=True):
        struck = strikes.on_workers(cluster, works, [at], fault)
    for work in works:
        yield work.seen(struck)


def _every(cluster: Cluster, run_id: str) -> list[Work]:
    return [
        Items(cluster, f"{run_id}-items"),
        Lake(cluster, f"{run_id}-lake", days=5),
        LakeOnS3(cluster, f"{run_id}-s3", days=5),
        LakeInBatches(cluster, f"{run_id}-batches", days=10),
        Moved(cluster, f"{run_id}-moved", keys=75),
        Copied(cluster, f"{run_id}-copied", days=3),
        Replaced(cluster, f"{run_id}-rows"),
        Published(cluster, f"{run_id}-published"),
        Table(cluster, f"{run_id}-table"),
        Children(cluster, f"{run_id}-children", children=10),
    ]


@experiment("short", "A worker is killed, then the process group of one, whose tasks live on")
def short(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Let both faults loose on three kinds of work at once: what every change runs."""
    works = [
        Items(cluster, f"{run_id}-items", items=200, seconds=1.5),
        Lake(cluster, f"{run_id}-lake", days=4),
        Moved(cluster, f"{run_id}-moved", keys=75),
    ]
    struck = _at_effects(cluster, strikes.kill, [chance.randint(20, 120)])
    for work in works:
        work.begin()
    cluster.until("the first fault", lambda: struck)
    struck.append(strikes.on_workers(cluster, works, [chance.randint(10, 20)], strikes.kill_group))
    for work in works:
        yield work.seen(max(struck))


def _at_effects(cluster: Cluster, fault: Callable[[Process], None], numbers: list[int]) -> list[float]:
    """Strike the worker that has just told the witness of an effect; return a list that gets the times of it."""
    struck: list[float] = []

    def strike(effect: Effect) -> None:
        part = cluster.workers[effect.host]
        # Two effects may come while one worker is away.
        if part.running:
            fault(part)
            struck.append(time.time())

    for number in numbers:
        cluster.witness.at(number, strike)
    return struck


@experiment("workers-killed", "A worker is killed with all its processes, three times in a run")
def killed(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the busiest worker three times while every kind of work runs."""
    yield from _struck(cluster, _every(cluster, run_id), chance, [strikes.kill] * 3, 110)


@experiment(
    "workers-group-killed", "The process group of a worker is killed, and its tasks live on, twice in a run"
)
def group_killed(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the process group of the busiest worker twice while every kind of work runs."""
    yield from _struck(cluster, _every(cluster, run_id), chance, [strikes.kill_group] * 2, 110)


@experiment("workers-frozen", "A worker freezes for 55 s and comes back when others have its work")
def frozen(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Freeze the busiest worker while every kind of work runs."""
    yield from _struck(cluster, _every(cluster, run_id), chance, [strikes.freeze], 100)


@experiment("batches-killed", "1,000 items in batches of 50: a worker is killed five times in a run")
def batches_killed(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the worker that has just told the witness of an effect, at five moments."""
    work = Items(cluster, run_id, items=1000)
    struck = _at_effects(cluster, strikes.kill, strikes.moments(chance, 5, 1000))
    work.begin()
    cluster.ended(work.dag_id, work.run_id)
    yield work.seen(max(struck))


@experiment(
    "two-owners", "A worker freezes with a batch of slow items and comes back while its next try is at work"
)
def two_owners(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Have two processes hold the same batch at once."""
    work = Items(cluster, run_id, items=50, seconds=8.0)
    struck = _at_effects(cluster, strikes.freeze, [chance.randint(9, 16)])
    work.begin()
    thawed = cluster.until("the end of the freeze", lambda: struck)[0]
    cluster.ended(work.dag_id, work.run_id)
    # Whoever is back may still be at it.
    time.sleep(20)
    seen = work.seen(thawed)
    seen.work = "`@task.batched`, items of 8 s"
    newest = max(effect.attempt for effect in cluster.witness.effects)
    old = [e.at - thawed for e in cluster.witness.effects if e.attempt < newest and e.at > thawed]
    seen.told |= {
        "effects of the old owner when it was back": len(old),
        "until, s": round(max(old, default=0), 1),
    }
    if newest == 1:
        seen.wrong = [*seen.wrong, "its next try did not begin"]
    yield seen
