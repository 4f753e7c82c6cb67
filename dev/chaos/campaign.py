"""Run experiments, those of a group on one cluster, and write down what was seen."""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
import threading
import time
import traceback
from functools import partial
from itertools import takewhile
from random import Random
from typing import TYPE_CHECKING, Any

from chaos import experiments
from chaos.cluster import Cluster
from chaos.experiment import EXPERIMENTS
from stack.airflow import AIRFLOW_3, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chaos.experiment import Experiment

for _module in pkgutil.iter_modules(experiments.__path__):
    importlib.import_module(f"chaos.experiments.{_module.name}")

# So many experiments, of those that can, side by side.
AT_ONCE = 4
SMALLEST_POOL = {"DATABASE__SQL_ALCHEMY_POOL_SIZE": "1", "DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "0"}
# A database that is away for a while must not be taken for tasks that are lost.
PATIENT = {"SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "90"}
CLUSTERS: dict[str, dict[str, Any]] = {
    "celery": {},
    "patient": {"settings": PATIENT},
    "pool": {"settings": SMALLEST_POOL},
    "two": {"schedulers": 2},
    "load": {},
    "three": {"workers": 0, "settings": {"CORE__PARALLELISM": "8"}},
}


def chosen(parts: Sequence[str]) -> list[Experiment]:
    """Return experiments by their names or the names of their groups; by default all that this Airflow has.

    :raises LookupError: if there is none of a name.
    """
    here = [one for one in EXPERIMENTS.values() if (one.group == "three") == AIRFLOW_3]
    if not parts:
        return [one for one in here if one.name != "short"]
    found = []
    for part in parts:
        named = [one for one in here if one.name == part or (one.group == part and one.name != "short")]
        if not named:
            raise LookupError(
                f"There is no experiment or group {part!r} for Airflow {VERSION}. Experiments: "
                f"{', '.join(one.name for one in here)}. Groups: {', '.join(sorted({one.group for one in here}))}."
            )
        found += named
    return found


def run(parts: Sequence[str], *, runs: int, seed: int, folder: Path, results: Path) -> bool:
    """Run experiments and tell whether all was right. A line of JSON for each kind of work goes to `results`.

    :param runs: how often each.
    :param seed: the same seed makes the same choices.
    """
    right = True
    todo = chosen(parts)
    for group in dict.fromkeys(one.group for one in todo):
        rounds = [(one, number) for number in range(runs) for one in todo if one.group == group]
        while rounds:
            rounds, fine = _on_one_cluster(rounds, CLUSTERS[group], seed, folder, results)
            right = right and fine
    return right


def _on_one_cluster(
    rounds: list[tuple[Experiment, int]], settings: dict[str, Any], seed: int, folder: Path, results: Path
) -> tuple[list[tuple[Experiment, int]], bool]:
    """Run what can be run on one cluster; return what is left when an experiment breaks off."""
    starts = time.monotonic()
    right = True
    with Cluster(folder / "cluster", **settings) as cluster:
        print(f"A cluster has started in {time.monotonic() - starts:.0f} s.", flush=True)
        while rounds:
            now = _side_by_side(rounds)
            rounds = rounds[len(now) :]
            cluster.fresh()
            seen = _together([partial(_one, cluster, one, number, seed, results) for one, number in now])
            right = right and all(seen)
            if None in seen:
                cluster.keep(folder / "broken" / f"{now[0][0].name}-{now[0][1]}-{seed}")
                return rounds, False
    return [], right


def _side_by_side(rounds: Sequence[tuple[Experiment, int]]) -> list[tuple[Experiment, int]]:
    """Return those that can run next at once: one, or some that strike nothing that others need."""
    beside = list(takewhile(lambda round_: not round_[0].alone, rounds))
    # Two of one kind would meet in one DAG.
    names = [one.name for one, _ in beside]
    first = next((n for n, name in enumerate(names) if name in names[:n]), len(beside))
    return list(rounds[: max(min(first, AT_ONCE), 1)])


def _together(calls: Sequence[Callable[[], bool | None]]) -> list[bool | None]:
    """Call all at once and return what they return."""
    if len(calls) == 1:
        return [calls[0]()]
    answers: list[bool | None] = [None] * len(calls)

    def call(place: int) -> None:
        answers[place] = calls[place]()

    # Whoever ends the campaign doesn't wait for them.
    threads = [threading.Thread(target=call, args=(place,), daemon=True) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _one(cluster: Cluster, one: Experiment, number: int, seed: int, results: Path) -> bool | None:
    """Run an experiment once and tell whether all was right, `None` if it broke off."""
    begun = time.time()
    said: dict[str, Any] = {
        "experiment": one.name,
        "run": number,
        "seed": seed,
        "airflow": VERSION,
        "at": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    chance = Random(f"{seed} {one.name} {number}")  # noqa: S311 - no secret
    right = True
    try:
        with contextlib.nullcontext(cluster) if one.alone else cluster.heard_alone() as stand:
            for seen in one.run(stand, chance, f"{one.name}-{number}-{seed}"):
                right = right and seen.right
                _write(results, {**said, "took": round(time.time() - begun), **seen.as_row()})
                print(f"{one.name} {number}, {seen.work}: {seen.verdict} {seen.told or ''}", flush=True)
    except Exception:  # noqa: BLE001 - the others are run all the same
        why = traceback.format_exc()
        _write(results, {**said, "broke off": why, "right": False})
        print(f"{one.name} {number}: BROKE OFF\n{why}", flush=True)
        return None
    return right


def _write(results: Path, row: dict[str, Any]) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a") as file:
        file.write(json.dumps(row, default=str) + "\n")
