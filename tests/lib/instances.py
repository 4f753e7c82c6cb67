"""Which instances of a run have run again."""

from __future__ import annotations


def by_place(instances):
    """Return instances by (task, map index)."""
    return {(i["task_id"], i["map_index"]): i for i in instances}


def started_again(before, after):
    """Return where instances have begun once more."""
    assert before.keys() == after.keys()
    return {place for place in after if after[place]["start_date"] != before[place]["start_date"]}
