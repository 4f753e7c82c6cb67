"""Two schedulers at once, and what the kit adds to the load of Airflow's database."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2

from chaos.experiment import experiment
from chaos.verdict import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random
    from types import TracebackType

    from typing_extensions import Self

    from chaos.cluster import Cluster

ACTIVITY = r"""
    SELECT application_name, state, extract(epoch FROM clock_timestamp() - state_change)::FLOAT8, wait_event_type,
           left(regexp_replace(query, '\s+', ' ', 'g'), 200)
      FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND application_name NOT LIKE 'chaos%' AND datname = 'postgres'
"""


class Load:
    """Looks at the connections of Airflow's database, five times a second, until the ``with`` block is left."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.connections: list[int] = []
        self.waiting = 0
        self.idle: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> Self:
        log = self._cluster.folder / "postgres.log"
        self._log, self._from = log, log.stat().st_size
        self._cpu = self._cpu_seconds()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.cpu = self._cpu_seconds() - self._cpu
        with self._log.open("rb") as log:
            log.seek(self._from)
            lines = log.read().decode(errors="replace").splitlines()
        self.deadlocks = sum("deadlock detected" in line for line in lines)
        # Of more than a second: `deadlock_timeout`.
        self.lock_waits = sum("still waiting for" in line for line in lines)
        self.said = [
            line for line in lines if "still waiting for" in line or "deadlock" in line or "STATEMENT" in line
        ]

    def _cpu_seconds(self) -> float:
        """Return what the scheduler, the processor and PostgreSQL have computed so far: what the kit adds is there."""
        parts = [self._cluster.postgres.process, *self._cluster.parts.values()]
        total = 0.0
        for part in parts:
            for process in part.family:
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def _watch(self) -> None:
        with closing(psycopg2.connect(self._cluster.postgres.dsn, application_name="chaos")) as connection:
            connection.autocommit = True
            while not self._over.wait(0.2):
                with connection.cursor() as cursor:
                    cursor.execute(ACTIVITY)
                    rows = cursor.fetchall()
                self.connections.append(len(rows))
                self.waiting = max(self.waiting, sum(row[3] == "Lock" for row in rows))
                for name, state, age, _, statement in rows:
                    if (state or "").startswith("idle in transaction"):
                        self.idle[name] = max(self.idle.get(name, (0.0, "")), (age or 0.0, statement))

    def told(self) -> dict[str, Any]:
        """Return what was seen."""
        return {
            "connections at peak": max(self.connections),
            "connections, mean": round(sum(self.connections) / len(self.connections), 1),
            "longest idle transaction, s": {name: round(age, 2) for name, (age, _) in self.idle.items()},
            "the last statement of it": {name: statement for name, (_, statement) in self.idle.items()},
            "waiting for a lock at once": self.waiting,
            "lock waits over 1 s": self.lock_waits,
            "deadlocks": self.deadlocks,
            "CPU s": round(self.cpu, 1),
        }


def _wide(cluster: Cluster, dag_id: str, run_id: str, pieces: int) -> Seen:
    nameless: Counter[str] = Counter()
    begun = time.time()
    with Load(cluster) as load:
        cluster.trigger(dag_id, run_id, pieces=pieces)
        over = threading.Event()

        def watch() -> None:
            while not over.wait(1):
                for one in cluster.instances(dag_id, run_id, "one"):
                    if one["map_index"] >= 0 and not one["rendered_map_index"]:
                        nameless[str(one["state"])] += 1

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        state = cluster.ended(dag_id, run_id)
        over.set()
        watcher.join()
    instances = cluster.instances(dag_id, run_id, "one")
    labels = {one["map_index"]: one["rendered_map_index"] for one in instances}
    wrong = [str(n) for n in range(pieces) if labels.get(n) != f"piece-{n:04d}"]
    seen = Seen(
        "500 named instances" if pieces == 500 else f"{pieces} instances",  # noqa: PLR2004
        pieces,
        state,
        lost=[f"piece {one['map_index']}" for one in instances if one["state"] != "success"],
        seconds=cluster.seconds_after(dag_id, run_id, begun),
        told={**load.told(), "sightings without a label": sum(nameless.values())},
    )
    if wrong:
        seen.wrong = [*seen.wrong, f"wrong labels of {wrong[:5]}"]
    if load.deadlocks:
        seen.wrong = [*seen.wrong, f"{load.deadlocks} deadlocks"]
    if any("rendered_map_index" in line and "UPDATE" in line for line in load.said):
        seen.wrong = [*seen.wrong, "a wait of more than a second for a lock over labels"]
    return seen


@experiment("two-schedulers", "Two schedulers share 500 instances that the kit names", group="two")
def two_schedulers(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:  # noqa: ARG001 - nothing to choose
    """Have two schedulers expand and run one wide map."""
    yield _wide(cluster, "chaos_named", run_id, 500)


@experiment("load", "200 instances with the kit, and the same 200 without it", group="load")
def load(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Measure what the kit adds to the load of the database."""
    sides = [("chaos_named", "with the kit"), ("plain_named", "without it")]
    # Whoever comes second finds all caches warm.
    chance.shuffle(sides)
    for dag_id, side in sides:
        seen = _wide(cluster, dag_id, f"{run_id}-{dag_id}", 200)
        seen.work = f"200 instances {side}"
        yield seen
