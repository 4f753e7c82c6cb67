"""Faults of parts and of the database, and the moment for them: when so much of the work is done."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import psycopg2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

    from chaos.cluster import Cluster
    from chaos.works.work import Work
    from stack.processes import Process

# So long a worker is away: longer than Airflow takes to give its work to another.
FROZEN = 55.0
DOWN = 3.0


def kill(part: Process) -> None:
    """Kill all processes of a part at once, and start it again."""
    part.kill()
    time.sleep(DOWN)
    part.restart()


def kill_group(part: Process) -> None:
    """Kill the process group of a part, whose tasks live on unnoticed, and start it again."""
    part.kill_group()
    time.sleep(DOWN)
    part.restart()


def freeze(part: Process) -> None:
    """Stop a part for so long that Airflow gives its work to another, and have it go on."""
    part.freeze()
    time.sleep(FROZEN)
    part.thaw()


def moments(chance: Random, number: int, total: int) -> list[int]:
    """Choose after how much of the work to strike, in the order of time."""
    return sorted(chance.sample(range(max(total // 10, 1), max(total * 8 // 10, number + 2)), number))


def on_workers(
    cluster: Cluster, works: Sequence[Work], at: Sequence[int], fault: Callable[[Process], None]
) -> float:
    """Strike the worker that is busiest at each of some moments; return when the last fault was over.

    :param at: after how much that is done.
    """
    run_ids = [work.run_id for work in works]
    for moment in at:
        when_done(cluster, works, moment)
        fault(cluster.workers[cluster.busiest(run_ids)])
    return time.time()


def when_done(cluster: Cluster, works: Sequence[Work], number: int) -> None:
    """Wait until so much of the works is done."""
    cluster.until(f"the end of {number} pieces", lambda: sum(work.done() for work in works) >= number)


@contextlib.contextmanager
def revived(cluster: Cluster) -> Iterator[list[str]]:
    """Start again whatever ends by itself, as an init system would; yield a list of what that was."""
    over, started = threading.Event(), []

    def watch() -> None:
        while not over.wait(2):
            started.extend(cluster.revive())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield started
    finally:
        over.set()
        thread.join()


def crash_database(cluster: Cluster) -> None:
    """Kill a process of PostgreSQL: it throws everybody out and recovers from its log, within a second or two."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    os.kill(cluster.sql(query)[0]["pid"], signal.SIGKILL)


def freeze_database(cluster: Cluster, seconds: float) -> None:
    """Stop PostgreSQL for a while: it answers nobody, and refuses nobody."""
    cluster.postgres.process.freeze()
    time.sleep(seconds)
    cluster.postgres.process.thaw()


def exhaust_database(cluster: Cluster, seconds: float) -> int:
    """Take all connections that PostgreSQL has left, for a while; return how many that were."""
    taken = []
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            try:
                taken.append(psycopg2.connect(cluster.postgres.dsn, application_name="chaos"))
            except psycopg2.OperationalError:  # noqa: PERF203 - that is what it waits for
                time.sleep(0.05)
    finally:
        for connection in taken:
            connection.close()
    return len(taken)
