"""Histories against a plain reckoning, on histories made at random: no cell may differ.

`HISTORIES=5000` makes more of them, `SEED=7` others.
"""

from __future__ import annotations

import itertools
import os
import random

import pendulum
import pytest

import plainly
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, product
from airflow_mapping_kit.history import history
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.partitions import date_range
from airflow_mapping_kit.partitions import product as combined
from airflow_mapping_kit.policy import task_policy
from airflow_mapping_kit.reload import reload_params, reload_partitions
from airflows import DAG, task, task_group
from written import ORIGINS, Written, at, reloaded

HISTORIES = int(os.environ.get("HISTORIES", "40"))
SEED = int(os.environ.get("SEED", "1"))
DAYS = date_range("2013-01-01", "2013-01-06")
STATES = ["success"] * 12 + ["failed"] * 4 + ["upstream_failed", "skipped", "timed out", "removed"]
GOING_ON = [
    "running",
    "queued",
    "scheduled",
    None,
    "up_for_retry",
    "deferred",
    "success",
    "success",
    "failed",
]

pytestmark = pytest.mark.usefixtures("metadata_db")
_numbers = itertools.count()


def _plain():
    return reloaded("oracle_plain"), ["load"], ["load"], "reload_partitions"


def _batches():
    with DAG("oracle_batches", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @batched
        def load(partition):
            return partition

        collect(load.expand(partition=batches(product(origin=ORIGINS, date=DAYS), batch_size=2)))
    return dag, ["load"], ["load"], "batches"


def _groups():
    with DAG(
        "oracle_groups",
        schedule=None,
        start_date=pendulum.datetime(2013, 1, 1),
        params=reload_params(origin=ORIGINS),
    ) as dag:

        @task
        def first(partition):
            return partition

        @task
        def second(value):
            return value

        @task
        def beside(value):
            return value

        @task_group
        def each(partition):
            one = first(partition)
            beside(one)
            return second(one)

        collect(each.expand(partition=reload_partitions()))
    return dag, ["each.first", "each.beside", "each.second"], ["each.second"], "reload_partitions"


class _Random:
    """Histories of one DAG, a new one each time."""

    def __init__(self, dag, tasks, ends, generator, rng):
        for one in dag.tasks:
            task_policy(one)
        self.written = Written(dag)
        self.dags = (dag, self.written.stored())
        self.tasks, self.ends, self.generator, self.rng = tasks, ends, generator, rng

    def write(self):
        """Write a history, in place of the one before."""
        close = self.rng.choice([3, 30, 300])
        for _ in range(self.rng.randint(1, 7)):
            self._run(self.rng.randint(0, close), self.rng.choice([2, 10, 60]))
        self.written.flush(anew=True)

    def _run(self, minute, length):
        rng = self.rng
        state = rng.choice(["success", "failed", "failed", "running"])
        run_id = f"run-{next(_numbers)}"
        first = rng.randrange(len(DAYS))
        dimensions = {
            "origin": rng.sample(ORIGINS, rng.randint(1, 3)),
            "date": DAYS[first : first + rng.randint(1, len(DAYS))],
        }
        if rng.random() < 0.12:
            conf = {
                "mode": "custom",
                "start_date": dimensions["date"][0],
                "end_date": dimensions["date"][-1],
                "origin": dimensions["origin"],
            }
            self.written.run(
                run_id, started=None, state=rng.choice(["queued", "running", "failed"]), conf=conf
            )
            return
        end = at(minute + length + rng.randint(0, 5)) if state != "running" else None
        conf = {
            "mode": "custom",
            "start_date": dimensions["date"][0],
            "end_date": dimensions["date"][-1],
            "origin": dimensions["origin"],
        }
        run = self.written.run(run_id, started=at(minute), ended=end, state=state, conf=conf)
        plan = combined(**dimensions)
        rng.shuffle(plan)
        if self.generator == "batches":
            plan = [plan[n : n + size] for n, size in _cuts(len(plan), rng)]
        if rng.random() > 0.07:
            self.written.xcom(run, self.generator, plan, when=at(minute))
        if rng.random() < 0.05:
            return  # not expanded
        odd = rng.random() < 0.15
        for index, entry in enumerate(plan):
            self._piece(run, index, entry, minute, length, odd=odd)

    def _piece(self, run, index, entry, minute, length, *, odd):
        rng = self.rng
        going_on = run["state"] == "running"
        for number, task_id in enumerate(self.tasks):
            if odd and rng.random() < 0.1:
                continue
            state = rng.choice(GOING_ON if going_on else STATES) if rng.random() < 0.5 else "success"
            if state == "removed" and not odd:
                state = "success"
            start = at(minute + rng.randint(0, length) + number)
            if rng.random() < 0.1:  # cleared, and run again later
                start = at(minute + rng.randint(0, 400))
            ended = state in ("success", "failed", "skipped", "upstream_failed", "removed")
            row = self.written.instance(
                run, task_id, index, "skipped" if state == "timed out" else state,
                start=start if ended or state == "running" else rng.choice([None, start]),
                end=at(rng.randint(0, 3)) + (start - at(0)) if ended else None,
                tries=rng.randint(1, 3),
            )  # fmt: skip
            if state == "timed out":
                row["updated_at"] = run["end_date"]
                row["start_date"] = rng.choice([None, start])
            elif (
                row["updated_at"]
                and run["end_date"]
                and row["updated_at"] >= run["end_date"]
                and state == "skipped"
            ):
                row["updated_at"] = run["start_date"]
        if isinstance(entry, list) and rng.random() < 0.8:
            rows = [
                {
                    "key": "k",
                    "state": rng.choice(["success", "success", "failed", "skipped"]),
                    "value": None,
                    "error": None,
                    "tries": 1,
                    "duration_s": 1.0,
                }
                for _ in entry
            ]
            if any(
                one["task_id"] == self.tasks[0] and one["map_index"] == index
                for one in self.written.instances
                if one["run_id"] == run["run_id"]
            ):
                self.written.xcom(run, self.tasks[0], rows, map_index=index)

    def waiting(self, run):
        """Yield the partitions of a run that has not been expanded."""
        conf = run["conf"]
        if self.generator == "reload_partitions" and conf:
            days = date_range(conf["start_date"], conf["end_date"])
            yield from itertools.product(days, conf["origin"])

    def check(self):
        """Compare every cell with the plain reckoning."""
        plain = plainly.attempts(self.written.dag_id, self.tasks, self.ends, self.generator, self.waiting)
        run_ids = sorted({one[3] for its in plain.values() for one in its if one[2] is not None})
        for run_id in (None, *self.rng.sample(run_ids, min(1, len(run_ids)))):
            found = history(self.rng.choice(self.dags), run_id=run_id)
            wanted = {piece: plainly.state(its, run_id) for piece, its in plain.items()}
            wanted = {piece: letter for piece, letter in wanted.items() if letter is not None}
            if run_id is None and found.target.product and len(found) > 1:
                wanted = {
                    tuple(values): wanted.get(tuple(values), "m")
                    for values in itertools.product(*(one.values for one in found.dimensions))
                }
            got = {
                tuple(found.values(cell)): chr(code)
                for cell, code in enumerate(found.letters)
                if chr(code) != "."
            }
            if wanted != got:
                return run_id, {
                    piece: (wanted.get(piece), got.get(piece), plain.get(piece))
                    for piece in wanted.keys() | got.keys()
                    if wanted.get(piece) != got.get(piece)
                }
            assert found.queries <= 10
        return None


def _cuts(number, rng):
    start = 0
    while start < number:
        size = rng.randint(1, 3)
        yield start, size
        start += size


@pytest.mark.parametrize("made", [_plain, _batches, _groups], ids=lambda one: one.__name__.strip("_"))
def test_no_cell_differs_from_what_all_rows_say(made):
    rng = random.Random(f"{SEED} {made.__name__}")
    histories = _Random(*made(), rng)
    for number in range(HISTORIES):
        histories.write()
        differs = histories.check()
        assert differs is None, f"history {number}: {differs}"
