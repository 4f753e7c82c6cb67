"""The fan-in: a task that says of every piece of a mapped task what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_mapping_kit.assets import mark_succeeded
from airflow_mapping_kit.compat import (
    AIRFLOW_3,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    XComArg,
    bad_input_fails_at_once,
    current_task_group,
    get_unique_task_id,
    parts,
)
from airflow_mapping_kit.exceptions import FanInError, PlanError
from airflow_mapping_kit.failures import described, summed
from airflow_mapping_kit.fan_in import report
from airflow_mapping_kit.fan_in.links import PartitionsLink, page_of
from airflow_mapping_kit.fan_in.tolerance import Tolerance
from airflow_mapping_kit.outcomes.parts import Part
from airflow_mapping_kit.outcomes.states import Outcome, outcome
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.plans.batches import declared_settings_of
from airflow_mapping_kit.plans.mapped import Mapped
from airflow_mapping_kit.plans.planned import sources
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.reading.supervisor import Supervisor
from airflow_mapping_kit.results import FAILED, SKIPPED, UPSTREAM_FAILED
from airflow_mapping_kit.steering.look import changed
from airflow_mapping_kit.steering.settings import TOLERANCE

if TYPE_CHECKING:
    from airflow.utils.context import Context

    from airflow_mapping_kit.compat import TaskGroup
    from airflow_mapping_kit.plans.mapped import Returns
    from airflow_mapping_kit.reading.instances import Reading

parts.need(parts.COLLECT)

ON_EMPTY = ("skip", "fail", "succeed")
_MAX_MOVED = 5


class CollectOperator(BaseOperator):
    """Account for every piece of a mapped task or group. Made by `collect`, which describes the arguments.

    :param collected: the id of the mapped task or group.
    :param collected_task_ids: the tasks of one piece, by which the listener knows whose errors to keep.
    :param returned: of a mapped group the task whose value it returns, or a list or a dict of such.
    """

    template_fields = ("tolerated_failure_count", "tolerated_failure_percentage", "write_to")
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
        self.returned = returned
        self.tolerated_failure_count = tolerated_failure_count
        self.tolerated_failure_percentage = tolerated_failure_percentage
        self.on_empty = on_empty
        self.write_to = write_to
        self.values = values

    def execute(self, context: Context) -> dict[str, Any]:
        """Return what became of every piece; fail if more failed than is tolerated."""
        with bad_input_fails_at_once():
            found = self._outcome(context)
            self._check_plan(found)
            too_many = self._summary(found, context["run_id"])
        if not found.counts["total"] and self.on_empty != "succeed":
            self._end_empty(found)
        made = report.made_of(found, values=self.values, write_to=self.write_to, instance=context["ti"])
        if found.left_out:
            self.log.warning(
                "%s: values hold what has no form in JSON, and are null there: %s. The XComs of the pieces have "
                "them. Return dicts, lists, text and numbers.",
                self.task_id,
                one_line(", ".join(sorted(found.left_out))),
            )
        if too_many or made.trouble:
            # A task that fails returns nothing, and the report is what its callbacks and readers need most.
            context["ti"].xcom_push("return_value", made.pushed)
        if too_many:
            said = [too_many, *self._where(context), *_files(made.pushed)]
            said += [str(made.trouble)] if made.trouble else []
            raise AirflowFailException("\n".join(said))
        if made.trouble:
            with bad_input_fails_at_once():
                raise made.trouble
        with bad_input_fails_at_once():
            mark_succeeded(found.rows(), context=context)
        return made.pushed

    def _where(self, context: Context) -> list[str]:
        """Return where they are to be seen, for whoever is woken by the error; nothing where Airflow has no address."""
        page = page_of(context["ti"].dag_id, context["ti"].run_id, self.collected, failures=True)
        return [f"To see them and to run them again: {page}"] if "://" in page else []

    def _outcome(self, context: Context) -> Outcome:
        target = Mapped.collected_by(self)
        # A task of Airflow 3 has no database.
        read: Reading = Supervisor(context["ti"], target.task_ids) if AIRFLOW_3 else tables
        try:
            return outcome(target, context["run_id"], read, values=self.values)
        except PlanError as error:
            generators = ", ".join(sorted({source.task_id for source in sources(target.expand_input)}))
            raise PlanError(
                f"The plan of {target.name} cannot be read any more: {error} What its instances returned is "
                f"still in Airflow. Clear {generators} with everything downstream to run on a new plan."
            ) from error

    def _check_plan(self, found: Outcome) -> None:
        """Refuse to report where pieces and instances do not belong together."""
        name = self.collected
        if found.unexpanded is not None and found.unexpanded != SKIPPED:
            causes = [
                f"{task_id} {state.replace('_', ' ')}"
                for task_id, state in found.upstream.items()
                if state in (FAILED, UPSTREAM_FAILED)
            ]
            state = found.unexpanded.replace("_", " ")
            why = f"because before it {', '.join(causes)}" if causes else f"its state is {state}"
            raise FanInError(
                f"{name} was never expanded, so there are no pieces: {why}. "
                f"Mend that task and clear it with everything downstream."
            )
        if found.moved:
            moved = "; ".join(
                f"[{index}] worked on {one_line(worked_on or 'nothing')}, the plan has {one_line(planned or 'nothing')}"
                for index, worked_on, planned in found.moved[:_MAX_MOVED]
            )
            more = len(found.moved) - _MAX_MOVED
            raise FanInError(
                f"The plan of {name} has changed since its instances ran, so results would be mixed up: {moved}"
                f"{f' and {more:,} more' if more > 0 else ''}. Its generator was cleared without it: "
                f"clear {name} with everything downstream."
            )
        if found.lost:
            more = len(found.lost) - _MAX_MOVED
            raise FanInError(
                f"Not every item of the plan of {name} is accounted for: {'; '.join(found.lost[:_MAX_MOVED])}"
                f"{f' and {more:,} more' if more > 0 else ''}. Its generator, or the task before it, was cleared "
                f"without it, or somebody changed its XComs: clear {name} with everything downstream."
            )

    def _end_empty(self, found: Outcome) -> None:
        skipped = [task_id for task_id, state in found.upstream.items() if state == SKIPPED]
        why = f"{', '.join(skipped)} was skipped" if skipped else "the plan is empty"
        message = f"{self.task_id} has nothing to collect: {why}."
        if self.on_empty == "fail":
            raise AirflowFailException(f'{message} If that is fine, say on_empty="skip" or "succeed".')
        raise AirflowSkipException(f'{message} If that is an error, say on_empty="fail".')

    def _tolerated(self, run_id: str) -> Any:
        """Return the percentage that is tolerated: what somebody has said of the run, or what the DAG says."""
        for task_id in self.collected_task_ids:
            task: Any = self.dag.get_task(task_id)
            change = changed(task, run_id).get(TOLERANCE) if declared_settings_of(task) is not None else None
            if change is not None:
                self.log.info("At most %g %% tolerated, as %s said.", change.value, one_line(change.by))
                return change.value
        return self.tolerated_failure_percentage

    def _summary(self, found: Outcome, run_id: str) -> str | None:
        """Log how many pieces are in which state and what failed; return why that fails the task, if it does."""
        count, failed = found.counts, found.tally.failed
        states = ", ".join(f"{number:,} {state}" for state, number in count.items() if number)
        self.log.info("%s: %s", self.task_id, states.replace("_", " ") or "no pieces")
        percentage = self._tolerated(run_id) if failed else self.tolerated_failure_percentage
        limits = (self.tolerated_failure_count, percentage)
        try:
            tolerance: Tolerance | FanInError = Tolerance.of(*limits)
        except FanInError as error:
            tolerance = error
        message = f"{failed:,} of {count['total']:,} pieces failed, {tolerance}"
        if failed:
            message = f"{message}:\n{_described(found)}"
            self.log.warning("%s: %s", self.task_id, message)
        if isinstance(tolerance, FanInError):
            return f"{self.task_id}: {message}"
        if not tolerance.exceeded(failed, count["total"]):
            return None
        return (
            f"{self.task_id}: {message}\nMend the cause and clear these instances with {self.task_id}: "
            f"the others keep their results."
        )


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
    """Add a task that waits for every piece of a mapped task or group and says what became of each.

    Its trigger rule is `all_done`, fixed. Where more pieces failed than is tolerated it fails, without
    retries, naming the failed ones grouped by error; the report is there all the same.

    :param mapped: a mapped operator, what `.expand()` returned, or a mapped group. A task within a mapped
        group stands for the group, and so does a list or a dict of such that the group returned: a piece has the
        worst state of the group's tasks, and that task's value, or such a list or dict of values. Teardowns count
        where they may fail a run.
    :param tolerated_failure_count: how many pieces may fail. (templated)
    :param tolerated_failure_percentage: how many of a hundred may fail, from 0 to 100. (templated) Of two
        limits each counts; with none, no failure is tolerated. Failed, upstream-failed and not-started pieces
        count.
    :param on_empty: what a plan without pieces, or a skipped generator, does: `"skip"` the task, `"fail"`, or
        `"succeed"` with a report of 0 pieces. Default `"skip"`.
    :param write_to: a file for the rows, as JSON Lines, e.g. `"s3://aws_default@reports/{{ run_id }}.jsonl"`,
        replaced at once. (templated) Default: they are returned, up to `[mapping_kit] max_result_kb`; more stay
        where instances left them, and what nobody wrote so goes to `[mapping_kit] storage`, or among Airflow's XComs.
    :param values: whether the rows have what the pieces returned, as plain JSON. Default `True`.
    :param operator_arguments: arguments of any operator: `task_id` (default `collect_<task>`), `retries`, ...
    :return: the task's output: `{"total", "succeeded", "failed", "skipped", "upstream_failed", "not_started",
        "results": [{"key", "label", "map_index", "state", "try_number", "duration_s", "value", "error"}]}`,
        a row a piece, in map-index order. Of rows that are elsewhere `"written_to"` or `"parts"` says where, instead
        of `"results"`, and `"errors"` and `"failures"` have the commonest errors and the first rows of what failed;
        `rows(report)` gives the rows of any.
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
    if "task_id" not in operator_arguments:
        operator_arguments["task_id"] = _task_id(target, operator_arguments.get("task_group"))
    fan_in = CollectOperator(
        collected=target.name,
        collected_task_ids=target.task_ids,
        returned=target.returns,
        tolerated_failure_count=tolerated_failure_count,
        tolerated_failure_percentage=tolerated_failure_percentage,
        on_empty=on_empty,
        write_to=write_to,
        values=values,
        **operator_arguments,
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
        raise FanInError(f"{target.name} cannot be collected within itself: call collect after the group.")
    fan_in.set_upstream([target.dag.get_task(task_id) for task_id in target.awaited])
    return fan_in.output


def _described(found: Outcome) -> str:
    """Return what failed, by error: where rows are elsewhere, from what their summaries say."""
    if any(isinstance(share, Part) for share in found.shares):
        return summed(found.tally.errors, found.tally.keys, found.tally.named)
    return described(found.failures())


def _files(report: dict[str, Any]) -> list[str]:
    """Return where the rows are that failed, for whoever is woken by the error."""
    if "failed_in" in report:
        return [f"All of them are in {report['failed_in']}"]
    return [f"All rows are in {report['written_to']}"] if "written_to" in report else []


def _task_id(target: Mapped, group: TaskGroup | None) -> str:
    """Return the id that a fan-in has by default, within the group that it will be in.

    Of `load` in the group `eu` it is `collect_eu_load`, and in that group itself `eu.collect_load`. A second one of
    the same task is `collect_load__1`, as Airflow calls a second task of one function.
    """
    group = group or current_task_group(target.dag)
    inside = f"{group.group_id}." if group is not None and group.group_id else ""
    name = target.name.removeprefix(inside).replace(".", "_")
    return get_unique_task_id(f"collect_{name}", target.dag, group)
