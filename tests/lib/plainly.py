"""The states of partitions reckoned plainly: from every row of the tables, each partition by itself."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timezone

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_mapping_kit.compat import xcom_model

LETTERS = {
    "success": "o",
    "failed": "f",
    "upstream_failed": "b",
    "skipped": "s",
    None: "q",
    "scheduled": "q",
    "queued": "q",
}
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


def rows_of(model, dag_id):
    """Return all rows of a DAG as dicts."""
    table = model.__table__
    with create_session() as session:
        return [dict(row._mapping) for row in session.execute(select(table).where(table.c.dag_id == dag_id))]


def attempts(dag_id, tasks, ends, generator, waiting):
    """Return what each run did for each partition: `{partition: [(moment, number of the run, letter, run id), ...]}`.

    :param waiting: gives the partitions of a run without a plan that goes on.
    """
    instances, pushed = defaultdict(dict), {}
    for row in rows_of(TaskInstance, dag_id):
        instances[row["run_id"]][row["task_id"], row["map_index"]] = row
    for row in rows_of(xcom_model(), dag_id):
        value = row["value"]
        pushed[row["run_id"], row["task_id"], row["map_index"], row["key"]] = (
            json.loads(value) if isinstance(value, bytes) else value
        )
    now = datetime.now(timezone.utc)
    found = defaultdict(list)
    for run in rows_of(DagRun, dag_id):
        plan = pushed.get((run["run_id"], generator, -1, "return_value"))
        mine = instances[run["run_id"]]
        over = run["state"] in ("success", "failed")
        if plan is None:
            if not over and not any(index >= 0 for _, index in mine):
                for piece in waiting(run):
                    found[piece].append((now, run["id"], "q", run["run_id"]))
            continue
        starts = [row["start_date"] for (_, index), row in mine.items() if index >= 0 and row["start_date"]]
        began = min([*starts, *([run["start_date"]] if run["start_date"] else [])], default=run["queued_at"])
        for index, entry in enumerate(plan):
            letters, moments = {}, []
            for task_id in tasks:
                letter, moment = of_instance(mine.get((task_id, index)), run, over, began, now)
                letters[task_id] = letter
                moments.append(moment)
            letter = of_piece(letters, ends)
            items = entry if isinstance(entry, list) else [entry]
            rows = (
                pushed.get((run["run_id"], tasks[0], index, "return_value"))
                if isinstance(entry, list)
                else None
            )
            for number, item in enumerate(items):
                own = letter
                if letter == "f" and rows and any(row["state"] == "failed" for row in rows):
                    own = LETTERS[rows[number]["state"]]
                if letter == "o" and rows and any(row["state"] == "skipped" for row in rows):
                    own = "s" if rows[number]["state"] == "skipped" else "o"
                if own is not None:
                    found[tuple(item[name] for name in sorted(item))].append(
                        (max(moments), run["id"], own, run["run_id"])
                    )
    return found


def of_instance(row, run, over, began, now):  # noqa: PLR0911
    """Return the letter of an instance, and when it was tried last."""
    if row is None:
        return ("u", run["end_date"] or began) if over else ("q", now)
    state = row["state"]
    if state == "removed":
        return "", row["end_date"] or run["end_date"] or began
    if state == "skipped" and (
        row["end_date"] is None
        or (run["state"] == "failed" and run["end_date"] and row["updated_at"] >= run["end_date"])
    ):
        return "u", row["end_date"] or run["end_date"] or began
    if state in ("success", "failed"):
        return LETTERS[state], row["start_date"]
    if state in ENDED:
        return LETTERS[state], row["end_date"] or run["end_date"] or began
    if over:
        letter = "u" if LETTERS.get(state) == "q" else "w"
        return letter, row["end_date"] or run["end_date"] or began
    return LETTERS.get(state, "w"), now


def of_piece(letters, ends):
    """Return the letter of a piece, `None` of one that was removed."""
    left = {task_id: letter for task_id, letter in letters.items() if letter}
    if not left:
        return None
    for letter in "fbuwq":
        if letter in left.values():
            return letter
    if "s" in left.values():
        return "o" if any(left.get(end) == "o" for end in ends) else "s"
    return "o"


def state(its, run_id=None):
    """Return the letter of a partition from all that was done for it, in all runs or in one, `None` of none."""
    its = sorted(its, reverse=True)
    own = [one for one in its if run_id in (None, one[3])]
    if not own:
        return None
    letter, at = own[0][2], its.index(own[0])
    if letter == "o":
        return "o"
    if letter in "fbu" and any(one[2] == "o" for one in its[:at]):
        return "h"
    return letter.upper() if any(one[2] == "o" for one in its[at + 1 :]) else letter
