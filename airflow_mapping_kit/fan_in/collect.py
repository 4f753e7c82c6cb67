"""The fan-in: a task that reports the outcome of every piece of a mapped task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_mapping_kit.compat import (
    BaseOperator,
    XComArg,
    current_task_group,
    get_unique_task_id,
    parts,
)
from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.fan_in.links import PartitionsLink
from airflow_mapping_kit.fan_in.tolerance import Tolerance
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.plans.mapped import Mapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.compat import TaskGroup
    from airflow_mapping_kit.plans.mapped import Returns

parts.need(parts.COLLECT)

ON_EMPTY = ("skip", "fail", "succeed")
_MAX_MOVED = 5


class CollectOperator(BaseOperator):
    """Report the outcome of every piece of a mapped task or group. `collect` makes it and describes its arguments.

    :param collected: the id of the mapped task or group.
    :param collected_task_ids: the tasks of one piece, by which the listener knows whose errors to keep.
    :param returned: for a mapped group, the task whose value it returns, or a list or a dict of such tasks.
    """

    template_fields: Sequence[str] = ("tolerated_failure_count", "tolerated_failure_percentage", "write_to")
    operator_extra_links = (PartitionsLink(),)
    ui_color = "#e6eef8"

    def __init__(
        self,
        *,
        collected: str,
        collected_task_ids: tuple[str, ...],
        returned: Returns = None,
        tolerated_failure_count: int | str | None = None,
        tolerated_failure_percentage: float | str | None = None,
        on_empty: Literal["skip", "fail", "succeed"] = "skip",
        write_to: str | None = None,
        values: bool = True,
        **kwargs: Any,
    ) -> None:
        if on_empty not in ON_EMPTY:
            raise FanInError(f"on_empty={on_empty!r} is unknown: choose one of {', '.join(ON_EMPTY)}.")
        if kwargs.setdefault("trigger_rule", "all_done") != "all_done":
            raise FanInError(
                f"trigger_rule={kwargs['trigger_rule']!r}: a fan-in always waits until all pieces have ended, "
                "whether they succeeded or not. Leave trigger_rule out."
            )
        super().__init__(**kwargs)
        limits = [
            None if known_at_run_time(limit) else limit
            for limit in (tolerated_failure_count, tolerated_failure_percentage)
        ]
        Tolerance.of(*limits)
        self.collected = collected
        self.collected_task_ids = collected_task_ids
        self.returned = returned
        self.tolerated_failure_count = tolerated_failure_count
        self.tolerated_failure_percentage = tolerated_failure_percentage
        self.on_empty = on_empty
        self.write_to = write_to
        self.values = values

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the report; fail if more pieces failed than are tolerated."""
        # Every instance of the DAG pays for what its file imports: what only the fan-in takes waits for it.
        from airflow_mapping_kit.fan_in.accounting import accounted

        return accounted(self, context)


def collect(
    mapped: Any,
    *,
    tolerated_failure_count: int | str | None = None,
    tolerated_failure_percentage: float | str | None = None,
    on_empty: Literal["skip", "fail", "succeed"] = "skip",
    write_to: str | None = None,
    values: bool = True,
    **operator_arguments: Any,
) -> XComArg:
    """Add a task that waits for every piece of a mapped task or group, and reports the outcome of each.

    Its trigger rule is always `all_done`. If more pieces failed than you tolerate, it fails without
    retries, and its error names the failed pieces grouped by cause. Its report exists in any case.

    :param mapped: a mapped operator (the result of `.expand()`) or a mapped task group. A task within a mapped
        group stands for the group, and so does a list or a dict of such tasks that the group returned. A piece of a
        group has the worst state of the group's tasks, and the value of that task, or a list or dict of such
        values. Teardowns count if they can fail a run.
    :param tolerated_failure_count: how many pieces may fail. (templated)
    :param tolerated_failure_percentage: how many percent of the pieces may fail, from 0 to 100. (templated) If you
        give both limits, both hold; if you give none, no piece may fail. Failed, upstream-failed and not-started
        pieces count as failures.
    :param on_empty: what to do with a plan without pieces or a skipped generator: `"skip"` the task, `"fail"`, or
        `"succeed"` with a report of 0 pieces. Default `"skip"`.
    :param write_to: a file for the rows, as JSON Lines, e.g. `"s3://aws_default@reports/{{ run_id }}.jsonl"`. It is
        replaced in one step. (templated) By default the task returns the rows, up to `[mapping_kit] max_result_kb`.
        If there are more, they stay where the instances left them, or go to `[mapping_kit] storage` or to XComs.
    :param values: whether the rows have what the pieces returned, as plain JSON. Default `True`.
    :param operator_arguments: arguments of any operator: `task_id` (default `collect_<task>`), `retries`, ...
    :return: the task's output: `{"total", "succeeded", "failed", "skipped", "upstream_failed", "not_started",
        "results": [{"key", "label", "map_index", "state", "try_number", "duration_s", "value", "error"}]}`,
        a row per piece, in map-index order. If the rows are elsewhere, `"written_to"` or `"parts"` says where instead
        of `"results"`, and `"errors"` and `"failures"` have the most frequent errors and the first failed rows.
        `rows(report)` reads the rows in all cases.
    :raises FanInError: if `mapped` is not mapped or belongs to another DAG, if a tolerance is not a number, or if the
        DAG stops at the first failure.

    Example: `collect(load, tolerated_failure_percentage=5)` on 100 pieces of which 3 failed succeeds and
    returns `{"total": 100, "succeeded": 97, "failed": 3, ..., "results": [{"key": "date=2013-01-01", ...}]}`.
    """
    arguments = {
        "tolerated_failure_count": tolerated_failure_count,
        "tolerated_failure_percentage": tolerated_failure_percentage,
        "on_empty": on_empty,
        "write_to": write_to,
        "values": values,
    }
    return added(CollectOperator, Mapped.of(mapped), "collect", **arguments, **operator_arguments)


def added(operator_class: type[CollectOperator], target: Mapped, verb: str, **arguments: Any) -> XComArg:
    """Add a fan-in to the DAG of what it collects, and return its output.

    :param verb: the beginning of its id, if none is given.
    :raises FanInError: as `collect` says.
    """
    # What Airflow 2 calls fail_stop, Airflow 3 calls fail_fast.
    if stops := [name for name in ("fail_stop", "fail_fast") if getattr(target.dag, name, False)]:
        raise FanInError(
            f"The DAG {target.dag.dag_id!r} stops at the first failure, so {target.name} cannot be collected: "
            f"leave {stops[0]} out of the DAG; the fan-in decides how many failures are too many."
        )
    if "task_id" not in arguments:
        arguments["task_id"] = _task_id(target, verb, arguments.get("task_group"))
    fan_in = operator_class(
        collected=target.name, collected_task_ids=target.task_ids, returned=target.returns, **arguments
    )
    dag = fan_in.get_dag()
    if dag is not None and dag is not target.dag:
        raise FanInError(
            f"{target.name} belongs to the DAG {target.dag.dag_id!r}, and its fan-in would belong to "
            f"{dag.dag_id!r}: collect it in its own DAG."
        )
    if {*target.task_ids, *target.teardowns} & {
        task.task_id for group in fan_in.iter_mapped_task_groups() for task in group.iter_tasks()
    }:
        raise FanInError(f"{target.name} cannot be collected within itself: call {verb} after the group.")
    fan_in.set_upstream([target.dag.get_task(task_id) for task_id in target.awaited])
    output: XComArg = fan_in.output
    return output


def _task_id(target: Mapped, verb: str, group: TaskGroup | None) -> str:
    """Return the default id of a fan-in, with the group that it will be in.

    For `load` in the group `eu` it is `collect_eu_load`, and inside this group `eu.collect_load`. A second one for
    the same task is `collect_load__1`, as Airflow names a second task of one function.
    """
    group = group or current_task_group(target.dag)
    inside = f"{group.group_id}." if group is not None and group.group_id else ""
    name = target.name.removeprefix(inside).replace(".", "_")
    return get_unique_task_id(f"{verb}_{name}", target.dag, group)
