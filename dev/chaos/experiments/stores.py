"""S3 that refuses, hangs and resets, and a Snowflake whose answers are lost."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

from chaos.experiment import experiment
from chaos.works.keys import Copied, Moved
from chaos.works.lakes import LakeOnS3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.cluster import Cluster
    from chaos.verdict import Seen
    from chaos.works.work import Work
    from fault_proxy import Fault, Request

# So many requests of a hundred something happens to.
REFUSED, CUT, HUNG = 15, 8, 3
# Longer than boto3 waits for an answer.
HANGS = 65.0


def _on_s3(cluster: Cluster, run_id: str) -> list[Work]:
    return [LakeOnS3(cluster, f"{run_id}-lake", days=5), Moved(cluster, f"{run_id}-moved", keys=90)]


def _ended(cluster: Cluster, works: list[Work]) -> Iterator[Seen]:
    chosen, faults = cluster.s3_proxy.before, []

    def counted(request: Request) -> Fault:
        fault = chosen(request)
        if fault:
            faults.append(fault)
        return fault

    cluster.s3_proxy.before = counted
    try:
        for work in works:
            work.begin()
        for work in works:
            cluster.ended(work.dag_id, work.run_id)
    finally:
        requests = len(cluster.s3_proxy.requests)
        cluster.s3_proxy.reset()
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
    before, after = _chosen(chance, CUT), _chosen(chance, CUT)

    def fault(request: Request) -> Fault:
        if _happens(before, request.number):
            return "reset"
        return "lost answer" if _happens(after, request.number) else None

    cluster.s3_proxy.before = fault
    yield from _ended(cluster, _on_s3(cluster, run_id))


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
