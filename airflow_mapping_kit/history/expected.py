"""What has not come to its partitions yet: runs that wait, and runs that the schedule should have made by now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import overdue, run_interval
from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.history.between import longest_gap
from airflow_mapping_kit.history.plans import NOT_YET
from airflow_mapping_kit.partitions import date_range
from airflow_mapping_kit.partitions.ended import ended_periods
from airflow_mapping_kit.partitions.keys import value_key
from airflow_mapping_kit.partitions.periods import plural
from airflow_mapping_kit.partitions.presets import PRESETS, dates_of
from airflow_mapping_kit.partitions.selection import Selection
from airflow_mapping_kit.partitions.zones import load_zone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow_mapping_kit.history.forms import Form
    from airflow_mapping_kit.history.matrix import Matrix
    from airflow_mapping_kit.history.tables import Tables
    from airflow_mapping_kit.history.targets import Target
    from airflow_mapping_kit.history.work import Work

# As in `reload`, which is above.
_CUSTOM = "custom"
_EVERYTHING = (None, "", "everything")
# A scheduler needs a moment to make a run that is due.
_SOON = timedelta(minutes=2)


@dataclass(frozen=True)
class Expected:
    """The partitions that a run will have.

    :param periods: the values of its dimension of periods.
    :param values: those of other dimensions, of which it has all where none are said.
    :param select: which of their combinations.
    :param gaps: whether it has only those that are not loaded.
    """

    periods: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    select: str
    gaps: bool

    def cells(self, matrix: Matrix, form: Form) -> Sequence[int]:
        """Return the cells of the partitions."""
        if form.dimension not in matrix.names:
            return ()
        places: list[list[int]] = []
        for one in matrix.dimensions:
            wanted = self.periods if one.name == form.dimension else self.values.get(one.name) or one.values
            known = set(wanted)
            places.append([place for place, value in enumerate(one.values) if value in known])
        cells = [0]
        for one, its in zip(matrix.dimensions, places, strict=True):
            cells = [cell * len(one.values) + place for cell in cells for place in its]
        if not self.select:
            return cells
        selection = Selection.parse(self.select)
        return [cell for cell in cells if selection.matches(matrix.partition(cell))]


def expected_of(work: Work, form: Form, dag: Any) -> Expected | None:
    """Return what a run will have that has no plan yet, `None` where that can't be said.

    :param form: how its generator makes the plan.
    """
    if form.every is None:
        return None
    conf = work.run.conf
    try:
        mode = str(conf.get("mode"))
        if mode == _CUSTOM or mode in PRESETS:
            first, last = conf.get("start_date"), conf.get("end_date")
            if mode in PRESETS:
                moment = work.run.date or work.due or work.run.started
                first, last = dates_of(mode, moment.astimezone(load_zone(form.zone)).date())
            periods = date_range(str(first), str(last), every=form.every, timezone=form.zone)
        else:
            begin, until = _interval(work, dag)
            periods = ended_periods(begin, until, every=form.every, timezone=form.zone, offset=form.offset)
        values = {name: _texts(name, conf[name]) for name in form.values if isinstance(conf.get(name), list)}
        select = conf.get("select")
        if isinstance(select, str) and select:
            Selection.parse(select)
    except MappingKitError:  # such a run fails
        return None
    return Expected(
        tuple(periods),
        {name: values.get(name) or known for name, known in form.values.items()},
        select if isinstance(select, str) else "",
        conf.get("only") not in _EVERYTHING,
    )


def _interval(work: Work, dag: Any) -> tuple[datetime | None, datetime]:
    start, end = work.interval
    run = SimpleNamespace(run_type=work.run.kind, run_after=work.due)
    context = {"data_interval_start": start, "data_interval_end": end, "dag_run": run, "dag": dag}
    return run_interval(context) or (None, work.run.date or work.due or work.run.started)


def _texts(name: str, values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(one if isinstance(one, str) else value_key(name, one) for one in values)


def overdue_periods(form: Form, dag: Any, row: Any, now: datetime) -> tuple[list[str], str | None]:
    """Return the periods that the schedule's runs should have had by now and that no run was made for.

    :param row: what the scheduler keeps of the DAG, with its next run.
    :return: the periods, and a sentence about them where they are too many to be called missing.
    """
    if form.every is None or row is None:
        return [], None
    try:
        late = overdue(dag, row, now - _SOON, most=longest_gap("hour") + 1)
        if late is None:
            return [], None
        most = longest_gap(form.every)
        periods = ended_periods(
            *late, every=form.every, timezone=form.zone, offset=form.offset, most=most + 1
        )
    except MappingKitError:
        return [], None
    if len(periods) <= most:
        return periods, None
    why = "the DAG is paused" if row.is_paused else "its runs are late"
    return [], (
        f"The schedule is behind since {periods[0]}, as {why}: the {plural(form.every)} from then on are too many to "
        f"be shown as missing."
    )


def overdue_in(
    tables: Tables, target: Target, dag: Any, now: datetime, run_id: str | None
) -> tuple[list[str], list[str]]:
    """Return the periods that should have been loaded by now and that no run was made for, and what is said of it."""
    if target.form is None or run_id is not None:
        return [], []
    periods, why = overdue_periods(target.form, dag, tables.scheduled(), now)
    return periods, [] if why is None else [why]


def waiting_for(target: Target, works: Sequence[Work], dag: Any) -> dict[int, Expected]:
    """Return what runs will have that have no plan yet, by their place."""
    if target.form is None:
        return {}
    found = {
        place: expected_of(work, target.form, dag)
        for place, work in enumerate(works)
        if work.run.unread == NOT_YET
    }
    return {place: one for place, one in found.items() if one is not None}


def values_of(target: Target, late: Sequence[str], waiting: Sequence[Expected]) -> dict[str, set[str]]:
    """Return the values that dimensions have whatever the plans are."""
    if target.form is None or not (late or waiting):
        return {}
    found = {name: set(values) for name, values in target.form.values.items()}
    found[target.form.dimension] = set(late)
    for one in waiting:
        found[target.form.dimension].update(one.periods)
        for name, values in one.values.items():
            found.setdefault(name, set()).update(values)
    return found
