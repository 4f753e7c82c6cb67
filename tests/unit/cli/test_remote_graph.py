"""What has to run again, from what the REST API tells of a run."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.remote_graph import Graph
from airflow_mapping_kit.cli.remote_status import RemoteRun

# plan -> steps (a mapped group: fetch -> check -> tidy, and a group within it) -> collect -> publish; also follow,
# a mapped task after steps.
TASKS = {
    "plan": ["steps.fetch"],
    "steps.fetch": ["steps.check"],
    "steps.check": ["steps.inner.tidy", "other.work"],
    "steps.inner.tidy": ["collect"],
    "other.work": ["collect"],
    "collect": ["publish", "follow"],
    "publish": [],
    "follow": [],
}
MAPPED = {"follow"}


def run_of(instances, state="failed"):
    return RemoteRun(
        "dag",
        "run",
        state,
        {task: {"downstream_task_ids": after, "is_mapped": task in MAPPED} for task, after in TASKS.items()},
        [
            {"task_id": task, "map_index": index, "state": state, "end_date": end, "rendered_map_index": None}
            for (task, index), (state, end) in instances.items()
        ],
    )


def ended(**changes):
    """Return the instances of a run in which all succeeded, but for some."""
    places = [("plan", -1), ("collect", -1), ("publish", -1)]
    places += [
        (task, index)
        for task in ("steps.fetch", "steps.check", "steps.inner.tidy", "other.work", "follow")
        for index in (0, 1)
    ]
    found = dict.fromkeys(places, ("success", "2024-01-01"))
    for name, state in changes.items():
        task, _, index = name.rpartition("__")
        found[task.replace("_", "."), int(index.replace("m", "-"))] = state
    return found


def cleared(
    instances, targets=("steps.fetch", "steps.check", "steps.inner.tidy"), *, only=None, state="failed"
):
    wanted = Graph(run_of(instances, state)).redrive(list(targets), only)
    return [
        [(one.task_id, one.map_index) for one in part]
        for part in (wanted.before, wanted.pieces, wanted.after)
    ]


def test_within_a_group_what_comes_after_a_failure_runs_again_at_the_same_index_and_other_groups_do_not():
    instances = ended(steps_check__1=("failed", "2024-01-01"))
    assert cleared(instances) == [
        [],
        [("steps.check", 1), ("steps.inner.tidy", 1)],
        [("collect", -1), ("publish", -1)],
    ]


def test_an_unmapped_task_that_failed_before_the_pieces_comes_first():
    instances = ended(plan__m1=("failed", "2024-01-01"), steps_fetch__0=("upstream_failed", None))
    before, pieces, _ = cleared(instances)
    assert before == [("plan", -1)]
    assert pieces[0] == ("steps.fetch", 0)


def test_what_a_timeout_left_undone_runs_again_and_what_was_skipped_before_does_not():
    instances = ended(
        steps_inner_tidy__0=("skipped", None),
        steps_inner_tidy__1=("skipped", "2024-01-01"),
    )
    assert cleared(instances)[1] == [("steps.inner.tidy", 0)]


def test_a_plan_without_pieces_is_nothing_that_was_left_undone():
    instances = {("plan", -1): ("success", "2024-01-01"), ("steps.fetch", -1): ("skipped", None)}
    assert cleared(instances, ["steps.fetch"]) == [[], [], []]


def test_of_a_mapped_task_that_follows_only_what_is_not_done_runs_again():
    instances = ended(
        steps_check__0=("failed", "2024-01-01"),
        follow__1=("upstream_failed", None),
        publish__m1=(None, None),
    )
    assert cleared(instances)[2] == [("collect", -1), ("publish", -1), ("follow", 1)]


def test_in_a_run_that_goes_on_what_waits_or_runs_is_left_alone():
    instances = ended(
        steps_check__0=("failed", "2024-01-01"),
        steps_fetch__1=("running", None),
        collect__m1=(None, None),
        publish__m1=(None, None),
    )
    wanted = Graph(run_of(instances, "running")).redrive(["steps.fetch", "steps.check"], None)
    assert [(one.task_id, one.map_index) for one in wanted.after] == []
    assert [(one.task_id, one.map_index) for one in wanted.at_work] == [
        ("collect", -1),
        ("publish", -1),
        ("steps.fetch", 1),
    ]


def test_one_piece_can_be_meant_alone():
    instances = ended(steps_check__0=("failed", "2024-01-01"), steps_check__1=("failed", "2024-01-01"))
    assert cleared(instances, only={("steps.check", 1)})[1] == [("steps.check", 1), ("steps.inner.tidy", 1)]


def test_what_waits_for_other_pieces_that_failed_is_refused_alone():
    instances = ended(steps_check__0=("failed", "2024-01-01"), follow__0=("upstream_failed", None))
    with pytest.raises(Failure, match="because before it pieces of steps.check failed"):
        Graph(run_of(instances)).redrive(["follow"], None)
