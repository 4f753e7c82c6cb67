"""`mapping-kit status`: what became of every piece of a run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from airflow_mapping_kit.cli.failures import FAILED
from airflow_mapping_kit.cli.output import output_option
from airflow_mapping_kit.cli.pieces import Told, print_status
from airflow_mapping_kit.cli.remote import api_option, reached
from airflow_mapping_kit.results import AT_WORK, NOT_STARTED
from airflow_mapping_kit.results import FAILED as FAILED_STATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_mapping_kit.cli.lookup import Run
    from airflow_mapping_kit.outcomes.shares import Share
    from airflow_mapping_kit.outcomes.states import Outcome
    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.reading.instances import Instance

# What is said of a piece that failed where no error is kept.
_NAMELESS = frozenset({FAILED_STATE, "no exception recorded"})


@click.command()
@click.argument("dag_id", metavar="DAG")
@click.argument("run_id", metavar="RUN")
@click.argument("task_id", metavar="[TASK]", required=False)
@click.option("--failed", "only_failed", is_flag=True, help="Only pieces that did not succeed.")
@output_option
@api_option
def status(
    dag_id: str, run_id: str, task_id: str | None, only_failed: bool, output: str, api: str | None
) -> int:
    """Show the outcome of every piece: state, tries, seconds, error.

    RUN is the id of a run, or `latest`. TASK is a mapped task or group; by default
    all mapped tasks of the DAG. Items of batches are shown one by one. Failures are
    grouped by error, with the dates, countries, ... that they have in common.

    A piece that did not run because the DAG run timed out is `not_started`, although
    Airflow calls it skipped.

    \b
    Exit status:
      0  no piece failed
      1  pieces failed, are upstream-failed, or were not started before the run
         ended
      2  no such DAG, run or mapped task; no database, no API
    """  # noqa: D301 -- click's mark for lines that stay lines
    if api is not None:
        from airflow_mapping_kit.cli import remote_status

        run_id, state, told = remote_status.told_by(reached(api), dag_id, run_id, task_id)
    else:
        from airflow_mapping_kit.cli.lookup import declared_dag, mapped_of, need_database, run_of

        need_database()
        dag = declared_dag(dag_id)
        run = run_of(dag_id, run_id)
        run_id, state = run.run_id, run.state
        told = [told_of(one, run) for one in mapped_of(dag, task_id)]
    bad = print_status(dag_id, run_id, state, told, only_failed=only_failed, form=output)
    return FAILED if bad else 0


def told_of(mapped: Mapped, run: Run) -> Told:
    """Return what became of the pieces of a mapped task or group: numbers, and rows that are read when asked for."""
    from airflow_mapping_kit.outcomes.states import outcome
    from airflow_mapping_kit.reading import tables

    found = outcome(mapped, run.run_id)
    instances = tables.instances(mapped.dag.dag_id, run.run_id, mapped.task_ids)
    at_work = {
        index: state
        for index in range(len(found.shares))
        if (state := _at_work(index, mapped, instances)) is not None
    }
    states: Counter[str] = Counter()
    for index, share in enumerate(found.shares):
        for state, number in share.tally.states.items():
            states[at_work.get(index, state) if state == NOT_STARTED else state] += number
    rows, failures = (_Rows(found.shares, at_work, only_failed=only) for only in (False, True))
    return Told(
        mapped.name,
        rows,
        _note(mapped, found),
        states=states,
        failures=failures,
        errors=found.tally.errors,
        keys=found.tally.keys,
    )


class _Rows:
    """The rows of pieces, with Airflow's own state of those that wait or run.

    :param at_work: that state, by map index.
    """

    def __init__(self, shares: Sequence[Share], at_work: Mapping[int, str], *, only_failed: bool) -> None:
        self._shares, self._at_work, self._only_failed = shares, at_work, only_failed

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index, share in enumerate(self._shares):
            now = self._at_work.get(index)
            failed = share.tally.failed - (0 if now is None else share.tally.states[NOT_STARTED])
            if self._only_failed and not failed:
                continue
            for row in share.failures() if self._only_failed else share.rows():
                yield {**row, "state": now} if now and row["state"] == NOT_STARTED else {**row}


def _at_work(index: int, mapped: Mapped, instances: dict[str, dict[int, Instance]]) -> str | None:
    """Return Airflow's own state of a piece that waits or runs, which a fan-in never sees."""
    states = [
        instance.state
        for task_id in mapped.task_ids
        if (instance := instances[task_id].get(index)) is not None
    ]
    return next((one for one in states if one in AT_WORK), None)


def _note(mapped: Mapped, found: Outcome) -> str | None:
    if not found.tally.states:
        return _why_no_pieces(mapped, found)
    if found.moved:
        return (
            f"The plan has changed since {len(found.moved):,} of the instances ran: their keys are those of the "
            f"plan as it is now. Clear {mapped.name} with everything downstream."
        )
    collected = any(
        set(mapped.task_ids) & set(getattr(task, "collected_task_ids", ())) for task in mapped.dag.tasks
    )
    if not collected and not _NAMELESS.isdisjoint(found.tally.errors):
        return (
            f"Airflow keeps no errors, and no fan-in is after {mapped.name} that would have them kept: add "
            f"collect({mapped.name.rpartition('.')[2]}), or look into the logs."
        )
    return None


def _why_no_pieces(mapped: Mapped, found: Outcome) -> str | None:
    if found.unexpanded in (None, "skipped"):
        return None
    causes = ", ".join(
        f"{task_id} is {state.replace('_', ' ')}"
        for task_id, state in found.upstream.items()
        if state and state not in ("success", "skipped")
    )
    return f"{mapped.name} was not expanded{f': {causes}' if causes else ' yet'}."
