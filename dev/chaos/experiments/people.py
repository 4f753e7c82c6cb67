"""What people do to a run that is under way: marking, clearing, pausing, time limits, two who retry it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.experiment import experiment
from chaos.verdict import Seen
from chaos.works.items import Items

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from chaos.cluster import Cluster

MAPPING_KIT = Path(sys.executable).with_name("mapping-kit")
MARK = """
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.state import TaskInstanceState
dag = SerializedDagModel.get_dag("{dag_id}")
dag.set_task_instance_state(task_id="work", map_indexes=[{index}], run_id="{run_id}", state=TaskInstanceState.FAILED)
"""
POOL = "chaos_pool"
# Others would be paused too.
PAUSED = "chaos_paused"
PIECES = 24


class InTime(Items):
    """Items whose run has a time limit."""

    name = "`@task.batched`, `dagrun_timeout`"
    dag_id = "chaos_items_in_time"


def retry(cluster: Cluster, dag_id: str, run_id: str) -> str:
    """Run `mapping-kit retry --yes` to its end and return what it printed."""
    with _retry(cluster, dag_id, run_id, "--yes") as process:
        said, _ = process.communicate(timeout=120)
    return said


def _retry(cluster: Cluster, dag_id: str, run_id: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(MAPPING_KIT), "retry", dag_id, run_id, *options],
        env=cluster.airflow.environment,
        cwd=cluster.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _at_work(cluster: Cluster, chance: Random, items: int) -> None:
    wanted = chance.randint(items // 5, items // 2)
    cluster.until("a part of the items", lambda: len(cluster.witness.effects) >= wanted, every=0.05)


@experiment("timed-out", "The run times out in mid-map and is retried until it is done", alone=False)
def timed_out(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:  # noqa: ARG001 - the limit chooses
    """Let `dagrun_timeout` end a run, and retry it."""
    work = InTime(cluster, run_id, items=200, seconds=4.0)
    work.begin()
    first = cluster.ended(work.dag_id, work.run_id)
    retried = 0
    while cluster.ended(work.dag_id, work.run_id) == "failed" and retried < 6:  # noqa: PLR2004 - it gets further each time
        # What is ended saves first.
        time.sleep(10)
        struck = time.time()
        retry(cluster, work.dag_id, work.run_id)
        cluster.until(
            "its next start", lambda: cluster.airflow.run(work.dag_id, work.run_id)["state"] != "failed"
        )
        retried += 1
    seen = work.seen(struck if retried else time.time())
    seen.told |= {"retries": retried}
    if first != "failed":
        seen.wrong = [*seen.wrong, f"the run was {first} at first, not failed"]
    yield seen


@experiment(
    "marked-failed", "Somebody marks a batch failed while it is at work, and retries the run", alone=False
)
def marked_failed(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Mark a running instance failed."""
    # Longer than it takes to have it marked, on a busy machine too.
    work = Items(cluster, run_id, items=100, seconds=10.0)
    work.begin()
    _at_work(cluster, chance, 100)
    code = MARK.format(dag_id=work.dag_id, run_id=work.run_id, index=chance.randint(0, 1))
    cluster.airflow.command(program=("-c", code))
    first = cluster.ended(work.dag_id, work.run_id)
    time.sleep(10)
    struck = time.time()
    retry(cluster, work.dag_id, work.run_id)
    cluster.until(
        "its next start", lambda: cluster.airflow.run(work.dag_id, work.run_id)["state"] != "failed"
    )
    seen = work.seen(struck)
    if first != "failed":
        seen.wrong = [*seen.wrong, f"the run was {first} at first, not failed"]
    yield seen


@experiment("cleared", "Somebody clears a batch while it is at work", alone=False)
def cleared(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Clear a running instance."""
    work = Items(cluster, run_id, items=100, seconds=3.0)
    work.begin()
    _at_work(cluster, chance, 100)
    cluster.airflow.clear(work.dag_id, work.run_id, "work", chance.randint(0, 1))
    yield work.seen(time.time())


@experiment(
    "generator-cleared", "Somebody clears the generator alone while its batches are at work", alone=False
)
def generator_cleared(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Clear the task that made the plan."""
    work = Items(cluster, run_id, items=150, seconds=2.0)
    work.begin()
    _at_work(cluster, chance, 150)
    cluster.airflow.clear(work.dag_id, work.run_id, "batches")
    yield work.seen(time.time())


@experiment("paused", "The DAG is paused in mid-map for 15 s", alone=False)
def paused(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Pause a DAG."""
    cluster.trigger(PAUSED, run_id, witness=cluster.witness.url, pieces=PIECES, seconds=0.5)
    _at_work(cluster, chance, PIECES)
    cluster.sql("UPDATE dag SET is_paused = true WHERE dag_id = %s RETURNING 1", [PAUSED])
    time.sleep(15)
    cluster.sql("UPDATE dag SET is_paused = false WHERE dag_id = %s RETURNING 1", [PAUSED])
    yield _pool_seen(cluster, run_id, time.time(), {}, dag_id=PAUSED)


@experiment("two-retries", "Two people retry a run with three failed pieces at once", alone=False)
def two_retries(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Have `mapping-kit retry --yes` run twice at once."""
    failed = _with_failed_pieces(cluster, chance, run_id)
    waits = chance.uniform(0, 2)
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(retry(cluster, POOL, run_id))) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(waits)
    for thread in threads:
        thread.join()
    struck = time.time()
    seen = _pool_seen(cluster, run_id, struck, failed)
    seen.told |= {"seconds apart": round(waits, 1)}
    if not any("cleared: they run" in one for one in said):
        seen.wrong = [*seen.wrong, f"nobody cleared anything: {said}"]
    yield seen


@experiment("late-answer", "A `retry` is answered with yes when a colleague's has long done it", alone=False)
def late_answer(cluster: Cluster, chance: Random, run_id: str) -> Iterator[Seen]:
    """Answer the question of `mapping-kit retry` too late."""
    failed = _with_failed_pieces(cluster, chance, run_id)
    with _retry(cluster, POOL, run_id) as process:
        time.sleep(8)
        retry(cluster, POOL, run_id)
        cluster.until("its next start", lambda: cluster.airflow.run(POOL, run_id)["state"] != "failed")
        cluster.ended(POOL, run_id)
        said, _ = process.communicate("y\n", timeout=120)
    struck = time.time()
    time.sleep(5)
    seen = _pool_seen(cluster, run_id, struck, failed)
    if "Nothing is left to clear" not in said:
        seen.wrong = [*seen.wrong, f"the late one was told: {said[-200:]}"]
    yield seen


def _with_failed_pieces(cluster: Cluster, chance: Random, run_id: str) -> dict[str, int]:
    """Have a run end with three failed pieces; return how often each of them has had its effect."""
    failed = sorted(chance.sample(range(PIECES), 3))
    cluster.witness.answers = {str(n): "fail" for n in failed}
    cluster.trigger(POOL, run_id, witness=cluster.witness.url, pieces=PIECES, seconds=0.2)
    if (state := cluster.ended(POOL, run_id)) != "failed":
        raise AssertionError(f"The run with three failed pieces is {state}.")
    cluster.witness.answers = {}
    return {str(n): 1 for n in failed}


def _pool_seen(
    cluster: Cluster, run_id: str, struck: float, before: dict[str, int], *, dag_id: str = POOL
) -> Seen:
    state = cluster.ended(dag_id, run_id)
    heard = cluster.witness.heard()
    wanted = {str(n): 1 + before.get(str(n), 0) for n in range(PIECES)}
    announced = cluster.witness.heard("announced")["all"]
    states = Counter(str(one["state"]) for one in cluster.instances(dag_id, run_id))
    return Seen(
        "a mapped `@task`",
        PIECES,
        state,
        lost=[f"piece {item}" for item, number in wanted.items() if heard[item] < number],
        doubled=[f"piece {item}" for item, number in wanted.items() if heard[item] > number],
        wrong=[
            *([f"what follows ran {announced} times"] if announced != 1 else []),
            *([f"instances {dict(states)}"] if set(states) != {"success"} else []),
        ],
        seconds=cluster.seconds_after(dag_id, run_id, struck),
    )
