"""Instances of tasks: one that stands for any, and which of a run have run again."""

from __future__ import annotations

from types import SimpleNamespace

# What the results of a batch are pushed to. It is of no run, so nothing is kept for a retry.
INSTANCE = SimpleNamespace(
    xcom_push=lambda *_: None,
    test_mode=True,
    dag_id="none",
    task_id="load",
    run_id="run",
    map_index=-1,
    try_number=1,
    max_tries=0,
)


def by_place(instances):
    """Return instances by (task, map index)."""
    return {(i["task_id"], i["map_index"]): i for i in instances}


def started_again(before, after):
    """Return where instances have begun once more."""
    assert before.keys() == after.keys()
    return {place for place in after if after[place]["start_date"] != before[place]["start_date"]}
