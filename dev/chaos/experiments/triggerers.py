"""Child runs: the triggerer killed while it waits for them, the worker while it starts them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chaos import strikes
from chaos.experiment import experiment
from chaos.works.children import Children

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from chaos.cluster import Cluster
    from chaos.verdict import Seen


@experiment("triggerer-killed", "The triggerer is killed three times while it waits for child runs")
def triggerer_killed(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the triggerer while it waits."""
    work = Children(cluster, run_id, children=30)
    work.begin()
    for _ in range(3):
        cluster.until("it waits", work.waits)
        time.sleep(chance.uniform(0.5, 4))
        strikes.kill(cluster.parts["triggerer"])
        struck = time.time()
    yield work.seen(struck)


@experiment("starter-killed", "The worker is killed while its task starts child runs")
def starter_killed(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the worker of the task that starts children."""
    work = Children(cluster, run_id, children=40)
    work.begin()
    wanted = chance.randint(3, 30)
    cluster.until("children begin", lambda: work.begun() >= wanted, every=0.01)
    begun = work.begun()
    found = cluster.instances(work.dag_id, work.run_id, work.task_id)[0]
    if found["hostname"] in cluster.workers:
        strikes.kill(cluster.workers[found["hostname"]])
    seen = work.seen(time.time())
    seen.told["children when it was killed"] = begun
    yield seen
