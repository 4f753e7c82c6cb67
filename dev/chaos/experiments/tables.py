"""Tables: workers killed while they stage, the one that publishes, and a catalog that refuses and loses answers."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

from chaos import strikes
from chaos.experiment import experiment
from chaos.works.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from chaos.cluster import Cluster
    from chaos.verdict import Seen
    from fault_proxy import Fault, Request

# A `publish` of twelve partitions asks for more than that of S3 and of the catalog, before it commits.
BEFORE_IT_COMMITS = 20


@experiment(
    "staging-killed", "A worker is killed five times in a run while partitions are staged for a table"
)
def staging_killed(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the busiest worker at five moments, counted in staged files."""
    work = Table(cluster, run_id, days=16)
    work.begin()
    # So that most kills come between the files of an instance.
    cluster.s3_proxy.delay = 0.5
    struck = strikes.on_workers(cluster, [work], strikes.moments(chance, 5, work.pieces), strikes.kill)
    yield work.seen(struck)


@experiment(
    "publish-killed",
    "The worker of `publish` is killed five times in a run: three times before its commit, twice at it or after it",
)
def publish_killed(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Kill the worker of `publish` when it has just asked S3 or the catalog for something."""
    work = Table(cluster, run_id, days=4)
    work.begin()
    cluster.until("the end of all that stage", lambda: _all_staged(work))
    killed = []
    for number in [chance.randint(1, BEFORE_IT_COMMITS) for _ in range(3)]:
        killed += _kill_at(work, f"request {number}", _nth(number), acts=chance.random() < 1 / 2)
    # Whether the table has it is what the next try has to find out.
    taken = chance.random() < 1 / 2
    killed += _kill_at(work, "the commit", _commits, acts=taken)
    if taken:
        number = chance.randint(1, 3)
        killed += _kill_at(work, f"request {number} after the commit", _nth(number), acts=True)
    else:
        killed += _kill_at(work, "the commit", _commits, acts=True)
    seen = work.seen(time.time())
    seen.told["killed at"] = killed
    yield seen


def _all_staged(work: Table) -> bool:
    found = work.cluster.instances(work.dag_id, work.run_id, work.task_id)
    return bool(found) and all(one["map_index"] >= 0 and one["state"] == "success" for one in found)


def _nth(number: int) -> Callable[[Request], bool]:
    """Return what is true of one request, counted from now on."""
    numbers = itertools.count(1)
    return lambda _: next(numbers) == number


def _commits(request: Request) -> bool:
    return request.kind == "POST" and "/tables/" in request.path


def _kill_at(work: Table, what: str, hits: Callable[[Request], bool], *, acts: bool) -> list[str]:
    """Kill the worker of `publish` at a request, start it again, and return what was done.

    :param acts: whether the server sees the request before that.
    """
    cluster, killed = work.cluster, threading.Event()
    proxies = (cluster.s3_proxy, cluster.catalog_proxy)

    def strike(request: Request) -> Fault:
        if not killed.is_set() and hits(request):
            cluster.workers[work.publisher()].kill()
            killed.set()
            return "reset"
        return None

    for proxy in proxies:
        proxy.reset()
        if acts:
            proxy.after = strike
        else:
            proxy.before = strike
    cluster.until(f"{what} of `publish`", killed.is_set)
    for proxy in proxies:
        proxy.reset()
    time.sleep(strikes.DOWN)
    for worker in cluster.workers.values():
        if not worker.running:
            worker.restart()
    return [f"{what}, {'done' if acts else 'not seen by the server'}"]
