"""How `reload_partitions` makes the plan of a run, as far as a DAG tells without running it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.partitions.keys import value_key
from airflow_mapping_kit.plans.arguments import known_at_run_time

if TYPE_CHECKING:
    from collections.abc import Mapping

# As in `reload`, which is above: what its Params are known by, and those that are no dimension.
_MARK = "x-mapping-kit"
# By the name that serialized DAGs have of its class.
_WITHOUT = "WithoutOperator"
_OWN = ("every", "timezone", "offset", "date_dimension")
_NO_DIMENSIONS = (*_OWN, "only", "there", "lookback", "at_most", "order")


@dataclass(frozen=True)
class Form:
    """The arguments of `reload_partitions`, and the form of the DAG that it reads.

    :param dimension: the name of the dimension that holds the period.
    :param every: the length of a period, `None` where only the run knows.
    :param zone: the zone that periods are read in.
    :param offset: by how many periods later.
    :param values: the values of each other dimension as text, none where only the run knows them.
    """

    dimension: str
    every: str | None
    zone: str
    offset: int
    values: Mapping[str, tuple[str, ...]]


def form_of(dag: Any, task: Any) -> Form:
    """Return how a task `reload_partitions` of a DAG makes its plans."""
    given = arguments_of(task)
    own = {name: given[name] for name in _OWN if given.get(name) is not None}
    unknown = known_at_run_time(own)
    zone = getattr(dag.timezone, "name", None) or str(dag.timezone)
    dimension = str(own.get("date_dimension", "date"))
    values = {
        name: known
        for name, schema in _schemas(dag).items()
        if (known := schema.get(_MARK)) != "form" and known is not None
    }
    values.update({name: one for name, one in given.items() if name not in _NO_DIMENSIONS})
    return Form(
        dimension,
        None if unknown else str(own.get("every", "day")),
        zone if unknown else str(own.get("timezone", zone)),
        0 if unknown else int(own.get("offset", 0)),
        {name: _texts(name, one) for name, one in values.items() if name != dimension},
    )


def arguments_of(task: Any) -> dict[str, Any]:
    """Return the named arguments of a generator, none where they can't be told.

    Airflow 2 stores them as the text of a dict where one of them is what another task returns: what stands there as
    plain text or number is read all the same, and what doesn't counts as a template.
    """
    given = getattr(task, "op_kwargs", None) or {}
    if not isinstance(given, str):
        return dict(given)
    found: dict[str, Any] = {}
    for name in _OWN:
        match = re.search(rf"[{{ ]'{name}': ('[^'\\]*'|-?[0-9]+|None)?", given)
        if match is not None:
            found[name] = ast.literal_eval(match[1]) if match[1] else "{{ }}"
    return found


def leaves_out(task: Any) -> bool:
    """Tell whether a generator leaves out some of the product: `product(..., exclude=[...])`, `without(...)`."""
    if task.task_type == _WITHOUT:
        return True
    given = getattr(task, "op_kwargs", None) or {}
    if isinstance(given, str):
        return re.search(r"'exclude': (?!None|\[\])", given) is not None
    return bool(given.get("exclude"))


def _schemas(dag: Any) -> dict[str, Any]:
    params = dag.params
    return {name: params.get_param(name).schema for name in params}


def _texts(name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or known_at_run_time(values):
        return ()
    return tuple(one if isinstance(one, str) else value_key(name, one) for one in values)
