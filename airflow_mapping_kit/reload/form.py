"""The trigger form of a DAG that loads its own period by schedule, and what a person filled in."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import partitions
from airflow_mapping_kit.compat import Param, run_date
from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.presets import PRESETS, dates_of
from airflow_mapping_kit.partitions.selection import Selection
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.partitions.zones import load_zone
from airflow_mapping_kit.reload.only import CHOICES, EVERYTHING, check_choice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEDULED = "scheduled"
CUSTOM = "custom"
# As the form shows them.
_MODES = {SCHEDULED: "scheduled: what a scheduled run loads", **PRESETS, CUSTOM: "custom: the dates below"}
_FIELDS = ("mode", "start_date", "end_date", "select", "only")
# Stands in the schema of each Param that `reload_params` made, where JSON Schema ignores it: tells the form's
# fields from Params of the DAG's own, and keeps the values of a dimension as they were given.
_MARK = "x-mapping-kit"


def reload_params(*, only: bool = False, **dimensions: Sequence[str | int | float]) -> dict[str, Param]:
    """Return the trigger form of a DAG that loads its own period by schedule and any other period on demand.

    The form has the fields `mode`, `start_date`, `end_date`, a list of values for each dimension, and `select`, which
    narrows all of them. Add params of your own: `params={**reload_params(origin=ORIGINS), "events": Param(10)}`.

    :param only: whether the form has a field `only`, which asks what to load of the chosen partitions: everything, or
        what is missing, what failed last time, or what changed upstream since it was loaded.
        `reload_partitions` then needs `there=`, which says what is loaded.
    :param dimensions: the values of each dimension. The form selects all of them at first. Give an empty list where
        the values are known only at run time: the form then has a free text field (empty means all values),
        and you give the list of values to `reload_partitions`.
    :return: `{name: Param}` for the DAG's `params`.
    :raises PartitionError: if the form has a field of a dimension's name, or its values cannot make a partition.

    Example: `reload_params(origin=["EWR", "JFK"])` has the keys `mode`, `start_date`, `end_date`, `select`, `origin`.
    """
    if not isinstance(only, bool):
        raise PartitionError(f"only={shown(only)}: say True or False. A dimension cannot be called 'only'.")
    for name in dimensions:
        if name in _FIELDS:
            raise PartitionError(
                f"A dimension cannot be called {name!r}: the trigger form has a field of that name. Rename it."
            )
    known: dict[str, Any] = {name: values for name, values in dimensions.items() if len(values)}
    if known:
        partitions.product(**known)  # the check of every value, where the DAG's author sees it
    return {
        "mode": Param(
            SCHEDULED,
            enum=list(_MODES),
            values_display=_MODES,
            title="Mode",
            description=f"Which dates to load. A scheduled run loads what has ended since the last one.{_each(known)}",
            **{_MARK: "form"},
        ),
        "start_date": _date_param("First date", "With mode custom: the first date to load."),
        "end_date": _date_param("Last date", "With mode custom: the last date to load. It is included."),
        **{name: _dimension_param(name, list(values)) for name, values in dimensions.items()},
        "select": Param(
            None,
            type=["null", "string"],
            title="Only these partitions",
            description="With any mode but scheduled: load only some of the above, as in date=2013-01-01..2013-01-15",
            **{_MARK: "form"},
        ),
        **({"only": _only_param()} if only else {}),
    }


def _each(known: Mapping[str, Sequence[Any]]) -> str:
    """Return how many partitions a period makes, as far as the DAG's file says: a form can't count."""
    number = prod(map(len, known.values()))
    if number == 1:
        return ""
    return f" With all values of {' × '.join(known)} selected, each period has {number:,} partitions."


def _date_param(title: str, description: str) -> Param:
    return Param(
        None, type=["null", "string"], format="date", title=title, description=description, **{_MARK: "form"}
    )


def _only_param() -> Param:
    return Param(
        EVERYTHING,
        enum=list(CHOICES),
        values_display=CHOICES,
        title="Load only",
        description="Which of the above to load. With mode scheduled, everything means what a scheduled run loads.",
        **{_MARK: "form"},
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


@dataclass(frozen=True)
class Filled:
    """The form as the run has it; of a DAG without one as if nobody had filled it in.

    :param dates: the first and the last date, those of a preset too; `None` in mode scheduled.
    :param selection: some of the partitions, `None` for all.
    :param only: what of them.
    :param dimensions: what the DAG's file gave as the values of each dimension.
    :param values: what was selected of each.
    """

    dates: tuple[str, str] | None
    selection: Selection | None
    only: str
    dimensions: Mapping[str, list[Any]]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, context: Any, zone: str) -> Filled:
        """Return the form of a run.

        :param zone: whose clock says which day it is for the run.
        :raises MappingKitError: if its fields do not fit each other, or the selection can't be read.
        """
        declared = fields_of(context["dag"])
        params = {name: context["params"].get(name) for name in declared}
        given = {name: known for name, known in declared.items() if name not in _FIELDS}
        only = params.get("only") or EVERYTHING
        check_choice(only)
        return cls(_dates(params, context, zone), _selection(params), only, given, params)


def fields_of(dag: Any) -> dict[str, Any]:
    """Return what `reload_params` left in the DAG's Params: the given values of each dimension, by name."""
    declared: Any = dag.params
    schemas = {name: declared.get_param(name).schema for name in declared}
    return {name: schema[_MARK] for name, schema in schemas.items() if _MARK in schema}


def _dates(params: Mapping[str, Any], context: Any, zone: str) -> tuple[str, str] | None:
    mode, start, end = params.get("mode", SCHEDULED), params.get("start_date"), params.get("end_date")
    if mode == CUSTOM:
        if not start or not end:
            raise PartitionError(
                f"Mode custom needs both dates, but got start_date={start!r}, end_date={end!r}. "
                f"Give both (the same one for a single day), or choose mode scheduled."
            )
        # Of two fields together no form can say what is wrong: so it is said before anything is asked.
        if str(end) < str(start):
            raise PartitionError(
                f"end_date={end!r} is before start_date={start!r}: nothing was loaded. Trigger the DAG again, with the "
                f"first date first."
            )
        return start, end
    if start or end:
        raise PartitionError(
            f"start_date={start!r} and end_date={end!r} are only used in mode custom, but the mode is {mode}. "
            f"Choose mode custom, or leave the dates empty."
        )
    if mode in PRESETS:
        return dates_of(mode, run_date(context).astimezone(load_zone(zone)).date())
    return None


def _selection(params: Mapping[str, Any]) -> Selection | None:
    text = params.get("select")
    if not text or (isinstance(text, str) and not text.strip()):
        return None
    if params.get("mode") == SCHEDULED:
        raise PartitionError(
            f"select={shown(text)} is only used in mode custom or with a preset, but the mode is scheduled. "
            f"Choose mode custom and give both dates, choose a preset such as last_7_days, or leave select empty."
        )
    return Selection.parse(text)
