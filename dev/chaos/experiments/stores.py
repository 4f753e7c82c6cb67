"""S3 that refuses, hangs and resets, a catalog that does, and a Snowflake whose answers are lost."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

from chaos.experiment import experiment
from chaos.works.keys import Copied, Moved
from chaos.works.lakes import LakeOnS3
from chaos.works.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chaos.cluster import Cluster
    from chaos.verdict import Seen
    from chaos.works.work import Work
    from fault_proxy import Fault, FaultProxy, Request

# So many requests of a hundred something happens to.
REFUSED, CUT, HUNG = 15, 8, 3
# Longer than boto3 waits for an answer.
HANGS = 65.0


def _on_s3(cluster: Cluster, run_id: str) -> list[Work]:
    return [LakeOnS3(cluster, f"{run_id}-lake", days=5), Moved(cluster, f"{run_id}-moved", keys=90)]


def _ended(cluster: Cluster, works: list[Work], proxy: FaultProxy | None = None) -> Iterator[Seen]:
    proxy = proxy or cluster.s3_proxy
    chosen, faults = proxy.before, []

    def counted(request: Request) -> Fault:
        fault = chosen(request)
        if fault:
            faults.append(fault)
        return fault

    proxy.before = counted
    try:
        for work in works:
            work.begin()
        for work in works:
            cluster.ended(work.dag_id, work.run_id)
    finally:
        requests = len(proxy.requests)
        proxy.reset()
        cluster.snowflake_proxy.reset()
    struck = time.time()
    for work in works:
        seen = work.seen(struck)
        seen.told |= {"requests": requests, "that went wrong": len(faults)}
        yield seen


def _chosen(chance: Random, percent: int) -> int:
    """Return a seed for choices that don't depend on the order in which requests come."""
    return chance.randrange(2**32) * 100 + percent


def _happens(seed: int, number: int) -> bool:
    return Random(f"{seed} {number}").randrange(100) < seed % 100  # noqa: S311 - no secret


@experiment("s3-refuses", f"S3 answers {REFUSED} of 100 requests with 503 SlowDown")
def refuses(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Have S3 refuse requests."""
    seed = _chosen(chance, REFUSED)
    cluster.s3_proxy.before = lambda request: "503" if _happens(seed, request.number) else None
    yield from _ended(cluster, _on_s3(cluster, run_id))


@experiment(
    "s3-resets", f"S3 resets the connection of {CUT} of 100 requests before it acts, and of as many after"
)
def resets(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Have S3 cut connections, and lose answers."""
    cluster.s3_proxy.before = _before_or_after(chance, CUT, "reset")
    yield from _ended(cluster, _on_s3(cluster, run_id))


def _before_or_after(chance: Random, percent: int, refusal: Fault) -> Callable[[Request], Fault]:
    """Return what refuses some requests and loses the answers to as many."""
    before, after = _chosen(chance, percent), _chosen(chance, percent)

    def fault(request: Request) -> Fault:
        if _happens(before, request.number):
            return refusal
        return "lost answer" if _happens(after, request.number) else None

    return fault


@experiment(
    "s3-hangs", f"S3 says nothing for {HANGS:.0f} s to {HUNG} of 100 requests, longer than boto3 waits"
)
def hangs(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Have S3 hang."""
    seed = _chosen(chance, HUNG)

    def fault(request: Request) -> Fault:
        if _happens(seed, request.number):
            time.sleep(HANGS)
            return "reset"
        return None

    cluster.s3_proxy.before = fault
    yield from _ended(cluster, _on_s3(cluster, run_id))


@experiment(
    "catalog-fails",
    f"An Iceberg catalog answers {REFUSED} of 100 requests with 503, and loses its answers to as many",
)
def catalog_fails(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Have the catalog refuse requests, and lose answers."""
    cluster.catalog_proxy.before = _before_or_after(chance, REFUSED, "503")
    yield from _ended(cluster, [Table(cluster, run_id)], cluster.catalog_proxy)


@experiment(
    "snowflake-lost", "Snowflake's answers to a fifth of COPY and COMMIT are lost, after it has acted"
)
def answers_lost(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Lose answers of Snowflake."""
    proxy = cluster.snowflake_proxy
    proxy.lose = lambda statement: statement.startswith(("COPY", "COMMIT")) and chance.randrange(5) == 0
    lost = proxy.lost
    for seen in _ended(cluster, [Copied(cluster, run_id)]):
        seen.told["answers lost"] = len(lost)
        yield seen
