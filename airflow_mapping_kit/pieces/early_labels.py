"""The label of an instance before its work is done: from the plan, in the processes that make instances.

Reads what other tasks pushed with one query a plan, keeps it while Airflow makes its instances, and calls
no function of a DAG's author: the scheduler is no place for them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import labels
from airflow_mapping_kit.compat import custom_xcom_backend, expand_input_of, hidden_names, is_mapped_operator
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.pieces.arguments import has_template, known_at_run_time
from airflow_mapping_kit.pieces.batches import Batched, Ranges, batched
from airflow_mapping_kit.pieces.planned import Plan, calls_functions, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_mapping_kit.pieces.planned import Read

# Airflow makes the instances of a plan in one go. A generator that is cleared takes longer than this to run again.
_KEPT_SECONDS = 5.0
_KEPT_PLANS = 8
_plans: OrderedDict[tuple[str, str, str], tuple[float, Planned]] = OrderedDict()


def enabled() -> bool:
    """Tell whether `[mapping_kit] early_labels` is on."""
    from airflow.configuration import conf

    return bool(conf.getboolean("mapping_kit", "early_labels", fallback=True))


def is_labelled(operator: Any) -> bool:
    """Tell whether the instances of an operator have labels of the kit."""
    return labels.format_of(_template(operator)) is not None


def of_instance(operator: Any, *, dag_id: str, run_id: str, map_index: int) -> str | None:
    """Return the label of one instance, `None` where the plan cannot be read here.

    :param operator: the declared operator, or the serialized one of the scheduler.
    """
    text = labels.format_of(_template(operator))
    expand_input = expand_input_of(operator)
    if text is None or expand_input is None or _known_in_the_task_only(operator, expand_input):
        return None
    planned = _planned(operator, expand_input, dag_id, run_id)
    if planned is None or map_index >= len(planned.plan):
        return None
    return planned.label(text, map_index, fixed_arguments(operator))


def of_literals(operator: Any) -> Iterator[str]:
    """Yield the labels of all instances of a task that is mapped over literals, in map-index order.

    Nothing is yielded for a task without a label, or one whose plan needs an XCom.
    """
    text = labels.format_of(_template(operator))
    expand_input = None if text is None else expand_input_of(operator)
    if expand_input is None or sources(expand_input) or _known_in_the_task_only(operator, expand_input):
        return
    planned = Planned(operator, expand_input, lambda _: None)
    fixed = fixed_arguments(operator)
    for map_index in range(len(planned.plan)):
        yield planned.label(str(text), map_index, fixed)


def of_pieces(operators: Sequence[Any], read: Read) -> Callable[[int], str | None]:
    """Return what gives the label of a piece by its map index before any instance has one, `None` if nothing can.

    :param operators: the declared tasks of a piece: it is called as the first of them that has a label.
    :param read: gives the value of a source.
    """
    named = next((one for one in operators if labels.format_of(_template(one)) is not None), None)
    expand_input = None if named is None else expand_input_of(named)
    if expand_input is None or _known_in_the_task_only(named, expand_input) or not enabled():
        return lambda _: None
    planned, fixed = Planned(named, expand_input, read), fixed_arguments(named)
    text = str(labels.format_of(_template(named)))
    return lambda map_index: planned.label(text, map_index, fixed)


def note_about(operator: Any) -> dict[str, Any]:
    """Return what has to be noted about a declared operator before it is serialized, if anything."""
    expand_input = expand_input_of(operator)
    note: dict[str, Any] = {}
    if expand_input is not None and isinstance(expand_input.value, dict) and len(expand_input.value) > 1:
        note["order"] = list(expand_input.value)
    how = batched(operator)
    if how is not None:
        note["batched"] = asdict(how)
    return note


class Planned:
    """A plan, and which items its batches hold, of an operator that may be a serialized one.

    :param operator: the declared operator, or the serialized one of the scheduler.
    :param expand_input: what it is mapped over.
    :param read: gives the value of a source, `None` if nothing was pushed.
    :raises PlanError: if a source was not pushed, or is nothing that Airflow can map over.
    """

    def __init__(self, operator: Any, expand_input: Any, read: Read) -> None:
        note = labels.note_of(_template(operator))
        self.plan = Plan(expand_input, read, order=note.get("order"))
        how = Batched(**note["batched"]) if "batched" in note else batched(operator)
        self._ranges = None if how is None else Ranges(self.plan, how)

    def label(self, text: str, map_index: int, fixed: Mapping[str, Any]) -> str:
        """Return the label of a piece before it runs.

        :param text: the format that `label` was given.
        :param fixed: the arguments that all pieces have in common.
        """
        batch = None if self._ranges is None else self._ranges[map_index]
        return labels.render(
            text, self.plan[map_index], fixed, batch=batch, final=False, hidden=hidden_names()
        )


def _template(operator: Any) -> str | None:
    template: str | None = getattr(operator, "map_index_template", None)
    return template


def _known_in_the_task_only(operator: Any, expand_input: Any) -> bool:
    """Tell whether the plan goes through functions, or through templates that a worker renders.

    References to XComs are serialized as objects of their own, so what is text is a literal.
    """
    return calls_functions(expand_input.value) or (
        is_mapped_operator(operator) and has_template(expand_input.value)
    )


def _planned(operator: Any, expand_input: Any, dag_id: str, run_id: str) -> Planned | None:
    key = (dag_id, run_id, operator.task_id)
    kept = _plans.get(key)
    if kept and time.monotonic() - kept[0] < _KEPT_SECONDS:
        return kept[1]
    wanted = sources(expand_input)
    # A backend of the deployment's own may fetch values from anywhere, and the scheduler must not wait.
    if wanted and custom_xcom_backend():
        return None
    from airflow_mapping_kit.pieces.tables import pushed

    found = pushed(dag_id, run_id, wanted)
    try:
        planned = Planned(operator, expand_input, found.get)
    except PlanError:  # not pushed: whoever maps over it says so
        return None
    while len(_plans) >= _KEPT_PLANS:
        _plans.popitem(last=False)
    _plans[key] = (time.monotonic(), planned)
    return planned


def fixed_arguments(operator: Any) -> dict[str, Any]:
    """Return the arguments of a task that are the same for all instances and known without running it."""
    if is_mapped_operator(operator):
        given = {**operator.partial_kwargs, **(operator.partial_kwargs.get("op_kwargs") or {})}
    else:
        # A task within a mapped group: of a serialized one the templated fields are all that is known.
        given = {name: getattr(operator, name, None) for name in getattr(operator, "template_fields", ())}
        given.update(_mapping(given.get("op_kwargs")))
    return {name: value for name, value in given.items() if not known_at_run_time(value)}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
