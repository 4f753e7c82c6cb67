"""What a fan-in does when it runs: it reports the outcome of every piece, and fails if too many failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.assets import mark_succeeded
from airflow_mapping_kit.compat import (
    AIRFLOW_3,
    AirflowFailException,
    AirflowSkipException,
    bad_input_fails_at_once,
)
from airflow_mapping_kit.exceptions import FanInError, PlanError
from airflow_mapping_kit.failures import described, summed
from airflow_mapping_kit.fan_in import report
from airflow_mapping_kit.fan_in.links import page_of
from airflow_mapping_kit.fan_in.tolerance import Tolerance
from airflow_mapping_kit.outcomes.parts import Part
from airflow_mapping_kit.outcomes.states import Outcome, outcome
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
    from collections.abc import Callable

    from airflow.utils.context import Context

    from airflow_mapping_kit.reading.instances import Reading

_MAX_MOVED = 5


def accounted(
    fan_in: Any, context: Context, commit: Callable[[Outcome], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the report; fail if more pieces failed than are tolerated.

    :param fan_in: the `CollectOperator` that runs.
    :param commit: called with the values of the pieces that succeeded, if not too many failed. Its result
        becomes part of the report.
    """
    with bad_input_fails_at_once():
        found = _outcome(fan_in, context, values=fan_in.values or commit is not None)
        _check_plan(fan_in, found)
        too_many = _summary(fan_in, found, context["run_id"])
    if not found.counts["total"] and fan_in.on_empty != "succeed":
        _end_empty(fan_in, found)
    made = report.made_of(found, values=fan_in.values, write_to=fan_in.write_to, instance=context["ti"])
    if found.left_out:
        fan_in.log.warning(
            "%s: these values can't be written as JSON, and are null in the report: %s. The XComs of the pieces "
            "still have them. Return dicts, lists, text and numbers.",
            fan_in.task_id,
            one_line(", ".join(sorted(found.left_out))),
        )
    if too_many or made.trouble:
        # A task that fails returns nothing, and the report is what its callbacks and readers need most.
        context["ti"].xcom_push("return_value", made.pushed)
    if too_many:
        said = [too_many, *_where(fan_in, context), *_files(made.pushed)]
        said += [str(made.trouble)] if made.trouble else []
        raise AirflowFailException("\n".join(said))
    if made.trouble:
        with bad_input_fails_at_once():
            raise made.trouble
    done = {} if commit is None else commit(found)
    with bad_input_fails_at_once():
        mark_succeeded(found.rows(), context=context)
    return {**made.pushed, **done}


def _where(fan_in: Any, context: Context) -> list[str]:
    """Return the address of the page that shows them, for the error; nothing if Airflow doesn't know its address."""
    page = page_of(context["ti"].dag_id, context["ti"].run_id, fan_in.collected, failures=True)
    return [f"To see them and to run them again: {page}"] if "://" in page else []


def _outcome(fan_in: Any, context: Context, *, values: bool) -> Outcome:
    target = Mapped.collected_by(fan_in)
    # A task of Airflow 3 has no database.
    read: Reading = Supervisor(context["ti"], target.task_ids) if AIRFLOW_3 else tables
    try:
        return outcome(target, context["run_id"], read, values=values)
    except PlanError as error:
        generators = ", ".join(sorted({source.task_id for source in sources(target.expand_input)}))
        raise PlanError(
            f"The plan of {target.name} cannot be read any more: {error} What its instances returned is "
            f"still in Airflow. Clear {generators} with everything downstream to run on a new plan."
        ) from error


def _check_plan(fan_in: Any, found: Outcome) -> None:
    """Raise an error if pieces and instances don't belong together."""
    name = fan_in.collected
    if found.unexpanded is not None and found.unexpanded != SKIPPED:
        causes = [
            f"{task_id} {state.replace('_', ' ')}"
            for task_id, state in found.upstream.items()
            if state in (FAILED, UPSTREAM_FAILED)
        ]
        state = found.unexpanded.replace("_", " ")
        why = f"because before it {', '.join(causes)}" if causes else f"its state is {state}"
        raise FanInError(
            f"{name} was never expanded, so there are no pieces: {why}. Fix that task, and clear it with everything "
            "downstream."
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


def _end_empty(fan_in: Any, found: Outcome) -> None:
    skipped = [task_id for task_id, state in found.upstream.items() if state == SKIPPED]
    why = f"{', '.join(skipped)} was skipped" if skipped else "the plan is empty"
    message = f"{fan_in.task_id} has nothing to collect: {why}."
    if fan_in.on_empty == "fail":
        raise AirflowFailException(f'{message} If that is fine, say on_empty="skip" or "succeed".')
    raise AirflowSkipException(f'{message} If that is an error, say on_empty="fail".')


def _tolerated(fan_in: Any, run_id: str) -> Any:
    """Return the tolerated percentage: the one that somebody has set for the run, or the DAG's."""
    for task_id in fan_in.collected_task_ids:
        task: Any = fan_in.dag.get_task(task_id)
        change = changed(task, run_id).get(TOLERANCE) if declared_settings_of(task) is not None else None
        if change is not None:
            fan_in.log.info("At most %g %% tolerated, as %s said.", change.value, one_line(change.by))
            return change.value
    return fan_in.tolerated_failure_percentage


def _summary(fan_in: Any, found: Outcome, run_id: str) -> str | None:
    """Log the counts of the states and the failures; return why they fail the task, if they do."""
    count, failed = found.counts, found.tally.failed
    states = ", ".join(f"{number:,} {state}" for state, number in count.items() if number)
    fan_in.log.info("%s: %s", fan_in.task_id, states.replace("_", " ") or "no pieces")
    percentage = _tolerated(fan_in, run_id) if failed else fan_in.tolerated_failure_percentage
    limits = (fan_in.tolerated_failure_count, percentage)
    try:
        tolerance: Tolerance | FanInError = Tolerance.of(*limits)
    except FanInError as error:
        tolerance = error
    message = f"{failed:,} of {count['total']:,} pieces failed, {tolerance}"
    if failed:
        message = f"{message}:\n{_described(found)}"
        fan_in.log.warning("%s: %s", fan_in.task_id, message)
    if isinstance(tolerance, FanInError):
        return f"{fan_in.task_id}: {message}"
    if not tolerance.exceeded(failed, count["total"]):
        return None
    return (
        f"{fan_in.task_id}: {message}\nFix the cause, and clear these instances together with {fan_in.task_id}. The "
        "others keep their results."
    )


def _described(found: Outcome) -> str:
    """Return the failures, grouped by error; from summaries, if the rows are stored elsewhere."""
    if any(isinstance(share, Part) for share in found.shares):
        return summed(found.tally.errors, found.tally.keys, found.tally.named)
    return described(found.failures())


def _files(report: dict[str, Any]) -> list[str]:
    """Return where the rows of failed pieces are stored, for the error."""
    if "failed_in" in report:
        return [f"All of them are in {report['failed_in']}"]
    return [f"All rows are in {report['written_to']}"] if "written_to" in report else []
