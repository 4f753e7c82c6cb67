"""The partitions that a run is to load: its own period by schedule, any other on demand, of these what is chosen."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Literal

from airflow_mapping_kit import partitions
from airflow_mapping_kit.compat import get_current_context, parts
from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.generators.base import GeneratorOperator, generator, refuse_empty_dimensions
from airflow_mapping_kit.partitions.ended import check_offset
from airflow_mapping_kit.partitions.limits import MOST_PIECES, TOO_MANY, check_number, multiplied
from airflow_mapping_kit.partitions.limits import at_most as most_pieces
from airflow_mapping_kit.partitions.sequences import ordered, shown
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.reload.form import Filled, fields_of
from airflow_mapping_kit.reload.only import (
    EVERYTHING,
    MISSING,
    NEWEST,
    OLDEST,
    check_bounds,
    check_choice,
    chosen,
)
from airflow_mapping_kit.reload.periods import Periods

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.partitions.selection import Selection

parts.need(parts.PERIODS)

log = logging.getLogger(__name__)

# So many values an error lists.
_LISTED = 20


class ReloadOperator(GeneratorOperator):
    """The generator behind `reload_partitions`: checks names, cadence and zone when the DAG is parsed."""

    makes_the_plan = True

    def check_literals(self) -> None:
        """Check the cadence, the zone, the bounds and the choice, and that no dimension is empty.

        :raises MappingKitError: naming what cannot be.
        """
        refuse_empty_dimensions(self)
        given = self.op_kwargs
        cadence = [given.get("every", "day"), given.get("timezone") or "UTC"]
        if not known_at_run_time(cadence):
            _check_cadence(*cadence)
        offset = given.get("offset", 0)
        if not known_at_run_time(offset):
            check_offset(offset)
        bounds = [given.get("lookback", 0), given.get("at_most"), given.get("order", OLDEST)]
        if not known_at_run_time(bounds):
            check_bounds(*bounds)
        self._check_choice()

    def _check_choice(self) -> None:
        given = self.op_kwargs
        only, there = given.get("only", EVERYTHING), given.get("there")
        if known_at_run_time(only):
            return
        check_choice(only)
        declared = fields_of(self.dag) if self.has_dag() else {}  # type: ignore[no-untyped-call]
        asked = "only" in declared
        if there is None and (asked or only == MISSING):
            why = "the form of this DAG asks for it, reload_params(only=True)" if asked else f"only={only!r}"
            raise PlanError(
                f"{self.task_id} has to know what is there, for {why}: say it, such as "
                f"reload_partitions(there=lake_partitions(target))."
            )
        if not asked and only == EVERYTHING:
            for name in ("there", "lookback", "at_most", "order"):
                if given.get(name):
                    raise PlanError(
                        f"{self.task_id} has {name}=, and loads everything all the same: choose what it loads, "
                        f"only='missing', or let the form ask for it, reload_params(only=True)."
                    )
        if not given.get("lookback") and (given.get("at_most") or given.get("order")):
            raise PlanError(
                f"at_most= and order= of {self.task_id} are about the periods that it looks back on: say how "
                f"many these are, lookback=7, or leave them out."
            )

    def asks(self, context: Any, only: Any) -> str | None:
        """Return what the plan of a run depends on besides its dates and its form, `None` if on nothing.

        :param only: the argument, rendered.
        """
        choice = _choice(Filled.of(context, _zone_name(context)), only)
        if choice == EVERYTHING:
            return None
        return "what is there" if choice == MISSING else "what became of earlier runs"


def _reload_partitions(
    *,
    every: str = "day",
    timezone: str | None = None,
    offset: int = 0,
    date_dimension: str = "date",
    only: Literal["everything", "missing", "failed", "stale"] = "everything",
    there: Iterable[Any] | None = None,
    lookback: int = 0,
    at_most: int | None = None,
    order: Literal["oldest", "newest"] = "oldest",
    **runtime_dimensions: Sequence[str | int | float],
) -> list[dict[str, Any]]:
    """Return the partitions that this run has to load: every selected value of each dimension × every period.

    In mode `scheduled` the periods are those that ended within the run's data interval or at its end. If the schedule
    gives its runs empty intervals, they are those that ended since it was last due. So exactly one run loads each
    period, as soon as it has ended, whatever the schedule is. A run without an interval (started by hand,
    `schedule=None`) loads the last period that had ended at its logical date. In mode `custom` they are the periods
    that the form's dates touch, both dates included; a preset such as `last_7_days` stands for dates. A DAG without
    `reload_params` always uses mode `scheduled`.

    :param every: the length of a period: `hour`, `day`, `week`, `month`, `quarter` or `year`; minutes that divide an
        hour, such as `15min`; or a cron expression, from each tick to the next. Default `day` (templated).
    :param timezone: the time zone of the periods. Default: the DAG's time zone (templated).
    :param offset: in mode `scheduled`, load the periods this many periods later: -1 for the period before each, 1 for
        the period that has just begun. Default 0 (templated).
    :param date_dimension: the name of the dimension that holds the period. Default `date`.
    :param only: in mode `scheduled`, which of the partitions to load: `everything`, those that are `missing`, those
        that `failed` at their last try, or those that are `stale`: changed upstream, as events of assets say, and not
        loaded since. The choice in the form of `reload_params(only=True)` overrides it (templated).
    :param there: the partitions that exist, or their keys, such as the output of `lake_partitions`, `s3_partitions`
        or `sql_rows`.
    :param lookback: in mode `scheduled`, unless everything is loaded: also look at this many periods before the run's
        own, but not at periods before the DAG's first run (templated).
    :param at_most: how many partitions of these earlier periods a run loads. It always loads all partitions of its own
        period, and loads them first. Default: all (templated).
    :param order: which of the earlier periods a run loads first: the `oldest` or the `newest` (templated).
    :param runtime_dimensions: lists that are known only at run time, such as the output of another task.
        The values that the form selects filter these lists.
    :return: `[{dimension: value, ..., date_dimension: period}, ...]`; the period changes fastest. Then the partitions
        of earlier periods, period by period.
    :raises PartitionError: if the form's fields don't fit together, a selected value is not in the list, nothing is
        selected, or `there` is missing.
    :raises SelectionError: naming the character where the form's selection can't be read.
    :raises PlanError: if the form's dates make too many partitions.

    Example: a run at midnight of 2013-01-02 with `@daily` and `reload_params(origin=["EWR", "JFK"])` gives
    `[{"origin": "EWR", "date": "2013-01-01"}, {"origin": "JFK", "date": "2013-01-01"}]`.
    """
    context = get_current_context()
    zone = timezone or _zone_name(context)
    _check_cadence(every, zone)
    check_choice(only)
    check_bounds(lookback, at_most, order)
    filled = Filled.of(context, zone)
    lists = {name: ordered(f"dimension {name!r}", values) for name, values in runtime_dimensions.items()}
    dimensions = _dimensions(filled, lists)
    if date_dimension in dimensions:
        raise PartitionError(
            f"{date_dimension!r} is both a dimension and the name of the period: "
            f"rename the dimension, or say date_dimension=... for the period."
        )
    choice, periods = _choice(filled, only), Periods(context, filled, every, zone, offset)
    times = math.prod(map(len, dimensions.values()))
    if choice == EVERYTHING and filled.selection is None:
        with multiplied(times):
            own = periods.own()
        return _combined({**dimensions, date_dimension: own})
    # What is left of it is what Airflow maps over.
    with most_pieces(MOST_PIECES, lambda _: TOO_MANY):
        with multiplied(times):
            own = periods.own()
            before = [] if choice == EVERYTHING else periods.earlier(lookback)
            check_number(len(own) + len(before), "the periods")
        candidates = _combined({**dimensions, date_dimension: own})
        if filled.selection is not None:
            candidates = _selected_of(candidates, {**dimensions, date_dimension: own}, filled.selection)
        each = partitions.product(**dimensions) if dimensions else [{}]
    before = before if order == NEWEST else before[::-1]
    candidates += [{**one, date_dimension: period} for period in before for one in each]
    found = chosen(choice, candidates, there, context, every, zone)
    return _bounded(found, set(own), date_dimension, at_most)


def _combined(dimensions: dict[str, Any]) -> list[dict[str, Any]]:
    return partitions.product(**dimensions)


def _choice(filled: Filled, only: str) -> str:
    """Return what a run is to load: what a person chose; in mode scheduled else what the DAG's file says."""
    return filled.only if filled.dates is not None or filled.only != EVERYTHING else only


def _selected_of(
    candidates: list[dict[str, Any]], dimensions: Mapping[str, list[Any]], selection: Selection
) -> list[dict[str, Any]]:
    cells = selection.cells(list(dimensions.items()))
    if not cells:
        raise PartitionError(
            f"select={shown(selection.text)} matches none of the {len(candidates):,} partitions of the form's "
            f"dates and values: change one of them. Dates are written as {shown(dimensions[list(dimensions)[-1]][-1])}."
        )
    return [candidates[cell] for cell in cells]


def _bounded(
    found: list[dict[str, Any]], own: set[str], date_dimension: str, at_most: int | None
) -> list[dict[str, Any]]:
    """Return of some partitions those of a run's own periods, and of earlier ones as many as it may take."""
    now = [one for one in found if one[date_dimension] in own]
    earlier = [one for one in found if one[date_dimension] not in own]
    taken = earlier[:at_most]
    if earlier:
        log.info(
            "Of %d partitions of earlier periods this run takes %d; the others are left to later runs",
            len(earlier),
            len(taken),
        )
    return now + taken


def _check_cadence(every: str, zone: str) -> None:
    partitions.date_range("2000-01-01", "2000-01-01", every=every, timezone=zone)


def _dimensions(filled: Filled, at_run_time: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the selected values of every dimension: those of the form, then those known only at run time."""
    form = filled.dimensions
    for name, values in form.items():
        if not values and name not in at_run_time:
            raise PartitionError(
                f"reload_params declares {name!r} without values: "
                f"give its list at run time, reload_partitions({name}=...)."
            )
    selected = {
        name: _selected(name, at_run_time.get(name, values), filled.values.get(name))
        for name, values in form.items()
    }
    return {**selected, **{name: values for name, values in at_run_time.items() if name not in form}}


def _selected(name: str, values: list[Any], selection: Iterable[Any] | None) -> list[Any]:
    texts = {str(value) for value in selection or ()}
    if not texts:
        return values
    if unknown := sorted(texts - {str(value) for value in values}):
        raise PartitionError(f"{name}={unknown[0]!r} does not exist: select among {_listed(values)}.")
    return [value for value in values if str(value) in texts]


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(map(str, values[:_LISTED]))
    return shown if len(values) <= _LISTED else f"{shown} and {len(values) - _LISTED} more"


def _zone_name(context: Context) -> str:
    zone = context["dag"].timezone
    return getattr(zone, "name", None) or str(zone)


_reload_partitions.__name__ = "reload_partitions"
reload_partitions = generator(_reload_partitions, operator_class=ReloadOperator)
