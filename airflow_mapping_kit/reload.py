"""One DAG for every day and for any reload: the trigger form, and the partitions that a run is to load."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from airflow_mapping_kit import partitions
from airflow_mapping_kit.compat import Param, get_current_context, parts, run_date, run_interval
from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.generators.base import GeneratorOperator, generator, refuse_empty_dimensions
from airflow_mapping_kit.partitions.ended import check_offset, ended_periods
from airflow_mapping_kit.partitions.limits import multiplied
from airflow_mapping_kit.partitions.sequences import ordered
from airflow_mapping_kit.plans.arguments import known_at_run_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.utils.context import Context

parts.need(parts.PERIODS)

SCHEDULED = "scheduled"
CUSTOM = "custom"
_FORM_FIELDS = ("mode", "start_date", "end_date")
# Stands in the schema of each Param that `reload_params` made, where JSON Schema ignores it: tells the form's
# fields from Params of the DAG's own, and keeps the values of a dimension as they were given.
_MARK = "x-mapping-kit"

# So many values an error lists.
_LISTED = 20


def reload_params(**dimensions: Sequence[str | int | float]) -> dict[str, Param]:
    """Return the trigger form of a DAG that loads its own period by schedule and any other on demand.

    The form asks for `mode`, `start_date`, `end_date`, and for a selection of each dimension.
    It combines with other params: `params={**reload_params(origin=ORIGINS), "events": Param(10)}`.

    :param dimensions: the values of each dimension, all of them selected at first. An empty list stands
        for values that are known only at run time: the form then takes any text, nothing means all,
        and `reload_partitions` must be given the list.
    :return: `{name: Param}` for the DAG's `params`.
    :raises PartitionError: if the form has a field of a dimension's name, or its values cannot make a partition.

    Example: `reload_params(origin=["EWR", "JFK"])` has the keys `mode`, `start_date`, `end_date`, `origin`.
    """
    for name in dimensions:
        if name in _FORM_FIELDS:
            raise PartitionError(
                f"A dimension cannot be called {name!r}: the trigger form has a field of that name. Rename it."
            )
    known: dict[str, Any] = {name: values for name, values in dimensions.items() if len(values)}
    if known:
        partitions.product(**known)  # the check of every value, where the DAG's author sees it
    return {
        "mode": Param(
            SCHEDULED,
            enum=[SCHEDULED, CUSTOM],
            title="Mode",
            description="scheduled: what has ended since the run before. custom: the dates below.",
            **{_MARK: "form"},
        ),
        "start_date": _date_param("First date", "The first date to load, in mode custom."),
        "end_date": _date_param("Last date", "The last date to load, itself included, in mode custom."),
        **{name: _dimension_param(name, list(values)) for name, values in dimensions.items()},
    }


def _date_param(title: str, description: str) -> Param:
    return Param(
        None, type=["null", "string"], format="date", title=title, description=description, **{_MARK: "form"}
    )


def _dimension_param(name: str, values: list[Any]) -> Param:
    if not values:
        description = f"Load only these values of {name}, one a line. Empty: all."
        return Param([], type=["null", "array"], title=name, description=description, **{_MARK: []})
    texts = [str(value) for value in values]
    # What Airflow's form selects arrives as text, what an API call sends may be a number: both are found.
    items = {"type": ["string", "number"], "enum": list(dict.fromkeys([*texts, *values]))}
    return Param(
        texts,
        type="array",
        minItems=1,
        items=items,
        examples=texts,
        title=name,
        description=f"Load these values of {name}.",
        **{_MARK: values},
    )


class ReloadOperator(GeneratorOperator):
    """The generator behind `reload_partitions`: checks names, cadence and zone when the DAG is parsed."""

    makes_the_plan = True

    def check_literals(self) -> None:
        """Check the cadence, the zone and the offset, and that no dimension is empty.

        :raises MappingKitError: naming what cannot be.
        """
        refuse_empty_dimensions(self)
        cadence = [self.op_kwargs.get("every", "day"), self.op_kwargs.get("timezone") or "UTC"]
        if not known_at_run_time(cadence):
            _check_cadence(*cadence)
        offset = self.op_kwargs.get("offset", 0)
        if not known_at_run_time(offset):
            check_offset(offset)


def _reload_partitions(
    *,
    every: Literal["hour", "day", "week", "month", "quarter", "year"] = "day",
    timezone: str | None = None,
    offset: int = 0,
    date_dimension: str = "date",
    **runtime_dimensions: Sequence[str | int | float],
) -> list[dict[str, Any]]:
    """Return the partitions that this run is to load: every selected value of each dimension × every period.

    In mode `scheduled` the periods are those that have ended within the run's data interval, at its end too;
    where the schedule gives its runs an empty one, since it was last due. So each is loaded by one run, as soon
    as it is whole, whatever the schedule. A run without any interval (started by hand, `schedule=None`) loads the
    last period that ended by its logical date. In mode `custom` they are those that the form's dates touch, both
    included. A DAG without `reload_params` always loads as scheduled.

    :param every: the length of a period: `hour`, `day`, `week`, `month`, `quarter` or `year`. Default `day`
        (templated).
    :param timezone: the zone that periods are read in. Default: the DAG's own (templated).
    :param offset: in mode `scheduled`, how many periods later: -1 for the one before each, 1 for the one that has
        just begun. Default 0 (templated).
    :param date_dimension: the name of the dimension that holds the period. Default `date`.
    :param runtime_dimensions: lists that are known only at run time, such as the output of another task.
        What the form selected of a dimension filters its list.
    :return: `[{dimension: value, ..., date_dimension: period}, ...]`, the period fastest.
    :raises PartitionError: if the form's dates and mode do not fit, or a selected value is not in the list.
    :raises PlanError: if the form's dates are too many, before any partition is made.

    Example: a run of 2013-01-02's midnight under `@daily` and `reload_params(origin=["EWR", "JFK"])` gives
    `[{"origin": "EWR", "date": "2013-01-01"}, {"origin": "JFK", "date": "2013-01-01"}]`.
    """
    context = get_current_context()
    zone = timezone or _zone_name(context)
    _check_cadence(every, zone)
    lists = {name: ordered(f"dimension {name!r}", values) for name, values in runtime_dimensions.items()}
    dimensions = _dimensions(context, lists)
    if date_dimension in dimensions:
        raise PartitionError(
            f"{date_dimension!r} is both a dimension and the name of the period: "
            f"rename the dimension, or say date_dimension=... for the period."
        )
    with multiplied(math.prod(map(len, dimensions.values()))):
        periods = _periods(context, every, zone, offset)
    every_dimension: dict[str, Any] = {**dimensions, date_dimension: periods}
    return partitions.product(**every_dimension)


def _check_cadence(every: str, zone: str) -> None:
    partitions.date_range("2000-01-01", "2000-01-01", every=every, timezone=zone)


def _form(context: Context) -> dict[str, Any]:
    """Return what `reload_params` left in the DAG's Params: the given values of each dimension, by name."""
    declared: Any = context["dag"].params
    schemas = {name: declared.get_param(name).schema for name in declared}
    return {name: schema[_MARK] for name, schema in schemas.items() if _MARK in schema}


def _dimensions(context: Context, at_run_time: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the selected values of every dimension: those of the form, then those known only at run time."""
    form = {name: values for name, values in _form(context).items() if name not in _FORM_FIELDS}
    for name, values in form.items():
        if not values and name not in at_run_time:
            raise PartitionError(
                f"reload_params declares {name!r} without values: "
                f"give its list at run time, reload_partitions({name}=...)."
            )
    selected = {
        name: _selected(name, at_run_time.get(name, values), context["params"].get(name))
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


def _periods(context: Context, every: str, zone: str, offset: int) -> list[str]:
    params = context["params"] if "mode" in _form(context) else {}
    mode, start, end = params.get("mode", SCHEDULED), params.get("start_date"), params.get("end_date")
    if mode == CUSTOM:
        if not start or not end:
            raise PartitionError(
                f"Mode custom needs both dates, and has start_date={start!r}, end_date={end!r}. "
                f"Give both (the same one for a single day), or choose mode scheduled."
            )
        return partitions.date_range(start, end, every=every, timezone=zone)
    if start or end:
        raise PartitionError(
            f"start_date={start!r} and end_date={end!r} only count in mode custom, and the mode is {mode}. "
            f"Choose mode custom, or leave the dates empty."
        )
    # By hand, Airflow 2 makes up the interval that ended last and Airflow 3 an empty one: one rule serves both.
    begin, until = run_interval(context) or (None, run_date(context))
    return ended_periods(begin, until, every=every, timezone=zone, offset=offset)


def _zone_name(context: Context) -> str:
    zone = context["dag"].timezone
    return getattr(zone, "name", None) or str(zone)


_reload_partitions.__name__ = "reload_partitions"
reload_partitions = generator(_reload_partitions, operator_class=ReloadOperator)
