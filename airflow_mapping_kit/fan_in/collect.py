"""The fan-in: a task that says of every piece of a mapped task what became of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from airflow_mapping_kit.assets import mark_succeeded
from airflow_mapping_kit.compat import (
    AIRFLOW_3,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    XComArg,
    bad_input_fails_at_once,
)
from airflow_mapping_kit.exceptions import FanInError, PlanError
from airflow_mapping_kit.failures import described
from airflow_mapping_kit.fan_in import json_lines
from airflow_mapping_kit.fan_in.tolerance import Tolerance
from airflow_mapping_kit.pieces import tables
from airflow_mapping_kit.pieces.arguments import known_at_run_time
from airflow_mapping_kit.pieces.mapped import Mapped
from airflow_mapping_kit.pieces.planned import sources
from airflow_mapping_kit.pieces.states import Outcome, outcome
from airflow_mapping_kit.pieces.supervisor import Supervisor
from airflow_mapping_kit.results import FAILED, FAILURES, SKIPPED, UPSTREAM_FAILED, counts

if TYPE_CHECKING:
    from airflow.utils.context import Context

    from airflow_mapping_kit.pieces.reading import Reading
    from airflow_mapping_kit.results import Counts, Result

ON_EMPTY = ("skip", "fail", "succeed")
_MAX_MOVED = 5


class CollectOperator(BaseOperator):
    """Account for every piece of a mapped task or group. Made by `collect`, which describes the arguments.

    :param collected: the id of the mapped task, of the task whose value a mapped group returns, or of a mapped
        group that returns none.
    :param collected_task_ids: the tasks of one piece, by which the listener knows whose errors to keep.
    """

    template_fields = ("tolerated_failure_count", "tolerated_failure_percentage", "write_to")
    ui_color = "#e6eef8"

    def __init__(
        self,
        *,
        collected: str,
        collected_task_ids: tuple[str, ...],
        tolerated_failure_count: int | str | None = None,
        tolerated_failure_percentage: float | str | None = None,
        on_empty: Literal["skip", "fail", "succeed"] = "skip",
        write_to: str | None = None,
        **kwargs: Any,
    ) -> None:
        if on_empty not in ON_EMPTY:
            raise FanInError(f"on_empty={on_empty!r} is unknown: choose one of {', '.join(ON_EMPTY)}.")
        if kwargs.setdefault("trigger_rule", "all_done") != "all_done":
            raise FanInError(
                f"trigger_rule={kwargs['trigger_rule']!r}: a fan-in always waits until all pieces are done, "
                f"whatever became of them. Leave trigger_rule out."
            )
        super().__init__(**kwargs)
        limits = [
            None if known_at_run_time(limit) else limit
            for limit in (tolerated_failure_count, tolerated_failure_percentage)
        ]
        Tolerance.of(*limits)
        self.collected = collected
        self.collected_task_ids = collected_task_ids
        self.tolerated_failure_count = tolerated_failure_count
        self.tolerated_failure_percentage = tolerated_failure_percentage
        self.on_empty = on_empty
        self.write_to = write_to

    def execute(self, context: Context) -> dict[str, Any]:
        """Return what became of every piece; fail if more failed than is tolerated."""
        with bad_input_fails_at_once():
            tolerance = Tolerance.of(self.tolerated_failure_count, self.tolerated_failure_percentage)
            file = json_lines.target(self.write_to) if self.write_to else None
            found = self._outcome(context)
            self._check_plan(found)
        count = counts(found.results)
        if not found.results and self.on_empty != "succeed":
            self._end_empty(found)
        failures, too_many = self._summary(found.results, count, tolerance)
        if file is not None:
            json_lines.write(found.results, file)
            report: dict[str, Any] = {**count, "written_to": str(file)}
        else:
            report = {**count, "results": found.results}
            with bad_input_fails_at_once():
                self._check_size(report)
        if too_many:
            # A task that fails returns nothing, and the report is what its callbacks and readers need most.
            context["ti"].xcom_push("return_value", report)
            raise AirflowFailException(
                f"{self.task_id}: {failures}\nMend the cause and clear these instances with {self.task_id}: "
                f"the others keep their results."
            )
        mark_succeeded(found.results, context=context)
        return report

    def _collected(self) -> Mapped:
        """Return what is collected, as the DAG declares it now."""
        if self.dag.has_task(self.collected):
            return Mapped.of(self.dag.get_task(self.collected))
        return Mapped.of(self.dag.task_group.get_task_group_dict()[self.collected])

    def _outcome(self, context: Context) -> Outcome:
        target = self._collected()
        # A task of Airflow 3 has no database.
        read: Reading = Supervisor(context["ti"], target) if AIRFLOW_3 else tables
        try:
            return outcome(target, context["run_id"], read)
        except PlanError as error:
            generators = ", ".join(sorted({source.task_id for source in sources(target.expand_input)}))
            raise PlanError(
                f"The plan of {target.name} cannot be read any more: {error} What its instances returned is "
                f"still in Airflow. Clear {generators} with everything downstream to run on a new plan."
            ) from error

    def _check_plan(self, found: Outcome) -> None:
        """Refuse to report where pieces and instances do not belong together."""
        name = self._collected().name
        if found.unexpanded is not None and found.unexpanded != SKIPPED:
            causes = [
                f"{task_id} {state}"
                for task_id, state in found.upstream.items()
                if state in (FAILED, UPSTREAM_FAILED)
            ]
            why = f"because before it {', '.join(causes)}" if causes else f"its state is {found.unexpanded}"
            raise FanInError(
                f"{name} was never expanded, so there are no pieces: {why.replace('_', ' ')}. "
                f"Mend that task and clear it with everything downstream."
            )
        if found.moved:
            moved = "; ".join(
                f"[{index}] worked on {worked_on or 'nothing'}, the plan has {planned or 'nothing'}"
                for index, worked_on, planned in found.moved[:_MAX_MOVED]
            )
            more = len(found.moved) - _MAX_MOVED
            raise FanInError(
                f"The plan of {name} has changed since its instances ran, so results would be mixed up: {moved}"
                f"{f' and {more:,} more' if more > 0 else ''}. Its generator was cleared without it: "
                f"clear {name} with everything downstream."
            )

    def _end_empty(self, found: Outcome) -> None:
        skipped = [task_id for task_id, state in found.upstream.items() if state == SKIPPED]
        why = f"{', '.join(skipped)} was skipped" if skipped else "the plan is empty"
        message = f"{self.task_id} has nothing to collect: {why}."
        if self.on_empty == "fail":
            raise AirflowFailException(f'{message} If that is fine, say on_empty="skip" or "succeed".')
        raise AirflowSkipException(f'{message} If that is an error, say on_empty="fail".')

    def _check_size(self, report: dict[str, Any]) -> None:
        from airflow.configuration import conf
        from airflow.utils.json import XComEncoder

        limit = conf.getint("mapping_kit", "max_result_kb", fallback=1024)
        size = len(json.dumps(report, cls=XComEncoder))
        if size > limit * 1024:
            raise FanInError(
                f"The report of {report['total']:,} pieces has {size / 1024:,.0f} KiB, too much for an XCom "
                f"([mapping_kit] max_result_kb = {limit:,}). Have it written to a file: "
                f"collect(..., write_to='s3://aws_default@reports/{self.task_id}/{{{{ run_id }}}}.jsonl')."
            )

    def _summary(self, results: list[Result], count: Counts, tolerance: Tolerance) -> tuple[str, bool]:
        """Log how many pieces are in which state; return what failed, in words, and whether that is too much."""
        states = ", ".join(f"{number:,} {state}" for state, number in count.items() if number)
        self.log.info("%s: %s", self.task_id, states.replace("_", " ") or "no pieces")
        failed = [result for result in results if result["state"] in FAILURES]
        if not failed:
            return "", False
        message = f"{len(failed):,} of {count['total']:,} pieces failed, {tolerance}:\n{described(failed)}"
        self.log.warning("%s: %s", self.task_id, message)
        return message, tolerance.exceeded(len(failed), count["total"])


def collect(
    mapped: Any,
    *,
    tolerated_failure_count: int | str | None = None,
    tolerated_failure_percentage: float | str | None = None,
    on_empty: Literal["skip", "fail", "succeed"] = "skip",
    write_to: str | None = None,
    **operator_arguments: Any,
) -> XComArg:
    """Add a task that waits for every piece of a mapped task or group and says what became of each.

    Its trigger rule is `all_done`, fixed. Where more pieces failed than is tolerated it fails, without
    retries, naming the failed ones grouped by error; the report is there all the same.

    :param mapped: a mapped operator, what `.expand()` returned, or a mapped group. A task within a mapped
        group stands for the group: a piece has the worst state of the group's tasks and that task's value.
    :param tolerated_failure_count: how many pieces may fail. (templated)
    :param tolerated_failure_percentage: how many of a hundred may fail, from 0 to 100. (templated) Of two
        limits each counts; with none, no failure is tolerated. Failed, upstream-failed and not-started pieces
        count.
    :param on_empty: what a plan without pieces, or a skipped generator, does: `"skip"` the task, `"fail"`, or
        `"succeed"` with a report of 0 pieces. Default `"skip"`.
    :param write_to: a file for the rows, as JSON Lines, e.g. `"s3://aws_default@reports/{{ run_id }}.jsonl"`,
        replaced at once. (templated) Default: they are returned, up to `[mapping_kit] max_result_kb`.
    :param operator_arguments: arguments of any operator: `task_id` (default `collect_<task>`), `retries`, ...
    :return: the task's output: `{"total", "succeeded", "failed", "skipped", "upstream_failed", "not_started",
        "results": [{"key", "label", "map_index", "state", "try_number", "duration_s", "value", "error"}]}`,
        a row a piece, in map-index order. With `write_to`, `"written_to"` is there instead of `"results"`.
    :raises FanInError: if `mapped` is not mapped or belongs to another DAG, a tolerance is none, or the
        DAG stops at the first failure.

    Example: `collect(load, tolerated_failure_percentage=5)` on 100 pieces of which 3 failed succeeds and
    returns `{"total": 100, "succeeded": 97, "failed": 3, ..., "results": [{"key": "date=2013-01-01", ...}]}`.
    """
    target = Mapped.of(mapped)
    # What Airflow 2 calls fail_stop, Airflow 3 calls fail_fast.
    if stops := [name for name in ("fail_stop", "fail_fast") if getattr(target.dag, name, False)]:
        raise FanInError(
            f"The DAG {target.dag.dag_id!r} stops at the first failure, so {target.name} cannot be collected: "
            f"leave {stops[0]} out of the DAG; the fan-in decides how many failures are too many."
        )
    operator_arguments.setdefault("task_id", f"collect_{target.name.rpartition('.')[2]}")
    fan_in = CollectOperator(
        collected=target.returns or target.name,
        collected_task_ids=target.task_ids,
        tolerated_failure_count=tolerated_failure_count,
        tolerated_failure_percentage=tolerated_failure_percentage,
        on_empty=on_empty,
        write_to=write_to,
        **operator_arguments,
    )
    dag = fan_in.get_dag()
    if dag is not None and dag is not target.dag:
        raise FanInError(
            f"{target.name} belongs to the DAG {target.dag.dag_id!r}, and its fan-in would belong to "
            f"{dag.dag_id!r}: collect it in its own DAG."
        )
    if set(target.task_ids) & {
        task.task_id for group in fan_in.iter_mapped_task_groups() for task in group.iter_tasks()
    }:
        raise FanInError(f"{target.name} cannot be collected within itself: call collect after the group.")
    fan_in.set_upstream([target.dag.get_task(leaf) for leaf in target.leaves])
    return fan_in.output
