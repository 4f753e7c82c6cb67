"""The label of an instance before its work is done: from the plan, in the processes that create instances.

It reads the XComs of a plan once, as plain JSON, and keeps them while Airflow creates the instances. It also remembers
that a plan can't be read. It calls no function of a DAG's author, and makes no objects of XComs, because this runs in
the scheduler.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import labels
from airflow_mapping_kit.compat import (
    count,
    custom_xcom_backend,
    expand_input_of,
    hidden_names,
    is_mapped_operator,
    parts,
    passing_connection,
    redacted,
    switches,
)
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.failures import error_of, said
from airflow_mapping_kit.plans.arguments import has_reference, has_template, known_at_run_time
from airflow_mapping_kit.plans.batches import RETURN_VALUE, batched
from airflow_mapping_kit.plans.notes import noted
from airflow_mapping_kit.plans.planned import Plan, calls_functions, chosen_key, sources
from airflow_mapping_kit.plans.ranges import Ranges
from airflow_mapping_kit.reading import json_xcoms
from airflow_mapping_kit.reading.records import SLICES_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from airflow_mapping_kit.plans.planned import Read
    from airflow_mapping_kit.reading.instances import Source

log = logging.getLogger(__name__)

# How often a plan could not be read, by DAG and task: its instances have no label until they run.
GIVEN_UP = "mapping_kit.early_labels.given_up"
# Airflow makes the instances of a plan in one go. A generator that is cleared takes longer than this to run again.
_KEPT_SECONDS = 5.0
_KEPT_PLANS = 8
# What went wrong once would go wrong, and take its time, for each of the others as well; so does a look at literals.
_GIVEN_UP_SECONDS = 60.0
_KEPT_FAILURES = 1000


def enabled() -> bool:
    """Tell whether `[mapping_kit] early_labels` is on."""
    return switches.on("early_labels")


def possible() -> bool:
    """Tell whether early labels are on, and this Airflow has what they need beside the database."""
    return enabled() and parts.switched_off(parts.EARLY_LABELS) is None


def is_labelled(operator: Any) -> bool:
    """Tell whether the instances of an operator have labels of the kit, which may be part of others."""
    return labels.MARK in (_template(operator) or "")


def of_instance(
    operator: Any, *, dag_id: str, run_id: str, map_index: int, session: Any = None
) -> str | None:
    """Return the label of one instance, `None` where the plan cannot be read here.

    :param operator: the declared operator, or the serialized one of the scheduler.
    :param session: the session of the current transaction, if it is known.
    """
    text = labels.format_of(_template(operator))
    expand_input = expand_input_of(operator)
    if text is None or expand_input is None:
        return None
    planned = _planned(operator, expand_input, (dag_id, run_id, operator.task_id), session)
    if planned is None or map_index >= len(planned.plan):
        return None
    return planned.label(text, map_index, fixed_arguments(operator))


def forget(dag_id: str, run_id: str) -> None:
    """Forget the plans of a run, so that they are read again."""
    for kept in (_plans, _given_up):
        for place in [place for place in kept if place[:2] == (dag_id, run_id)]:
            del kept[place]


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
    """Return a function that gives the label of a piece by its map index before instances exist, `None` if none can.

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


class Planned:
    """A plan, and which items its batches hold, of an operator that may be a serialized one.

    :param operator: the declared operator, or the serialized one of the scheduler.
    :param expand_input: what it is mapped over.
    :param read: gives the value of a source, `None` if nothing was pushed.
    :raises PlanError: if a source was not pushed, or is nothing that Airflow can map over.
    """

    def __init__(self, operator: Any, expand_input: Any, read: Read) -> None:
        self.plan = Plan(expand_input, read, order=(noted(operator) or {}).get("order"))
        how = batched(operator)
        self._over = expand_input.value
        self._ranges = None if how is None else Ranges(self.plan, how)

    def label(self, text: str, map_index: int, fixed: Mapping[str, Any]) -> str:
        """Return the label of a piece before it runs.

        :param text: the format that `label` was given.
        :param fixed: the arguments that all pieces have in common.
        """
        batch = None if self._ranges is None else self._ranges[map_index]
        mapped = self.plan[map_index]
        key = chosen_key(mapped, self._over)
        return labels.render(text, mapped, fixed, batch=batch, key=key, final=False, hidden=hidden_names())


def _template(operator: Any) -> str | None:
    template: str | None = getattr(operator, "map_index_template", None)
    return template


def _known_in_the_task_only(operator: Any, expand_input: Any) -> bool:
    """Tell whether the plan goes through functions, templates, or outputs that a worker renders to text.

    References to XComs are serialized as objects, so text is always a literal.
    """
    return (
        calls_functions(expand_input.value)
        or has_reference(expand_input.value)
        or (is_mapped_operator(operator) and has_template(expand_input.value))
    )


_Place = tuple[str, str, str]
# Until when each counts, by `time.monotonic()`.
_plans: dict[_Place, tuple[float, Planned]] = {}
_given_up: dict[_Place, tuple[float, None]] = {}


def _planned(operator: Any, expand_input: Any, place: _Place, session: Any) -> Planned | None:
    for kept in (_plans.get(place), _given_up.get(place)):
        if kept and time.monotonic() < kept[0]:
            return kept[1]
    wanted = sources(expand_input)
    # A backend of the deployment's own may fetch values from anywhere, and the scheduler must not wait: slices alone
    # are there without it.
    elsewhere = bool(wanted) and custom_xcom_backend()
    if _known_in_the_task_only(operator, expand_input) or (
        elsewhere and not _may_be_slices(operator, wanted)
    ):
        _keep(_given_up, _KEPT_FAILURES, place, None, _KEPT_SECONDS)
        return None
    try:
        with passing_connection(session) as connection:
            if elsewhere:
                found, made = _slices(connection, place, wanted)
            else:
                found, made = json_xcoms.pushed(connection, place[0], place[1], wanted), False
        if len(found) < len(wanted):  # not pushed: whoever maps over it says so
            if made:
                _keep(_given_up, _KEPT_FAILURES, place, None, _KEPT_SECONDS)
            return None
        planned = Planned(operator, expand_input, found.get)
    except Exception as error:  # noqa: BLE001 -- whatever it is, instances are made without
        _keep(_given_up, _KEPT_FAILURES, place, None, _GIVEN_UP_SECONDS)
        count(GIVEN_UP, {"dag_id": place[0], "task_id": place[2]})
        log.log(
            # What is too large, or no JSON, is so in every run.
            logging.INFO if isinstance(error, PlanError) else logging.WARNING,
            "Instances of the task %s in the run %s of %s show their number until they run, as their plan "
            "cannot be read. %s",
            place[2],
            place[1],
            place[0],
            said(error_of(error, redacted)),
        )
        return None
    _keep(_plans, _KEPT_PLANS, place, planned, _KEPT_SECONDS)
    return planned


def _may_be_slices(operator: Any, wanted: Collection[Source]) -> bool:
    return batched(operator) is not None and all(one.key == RETURN_VALUE and not one.mapped for one in wanted)


def _slices(connection: Any, place: _Place, wanted: Collection[Source]) -> tuple[dict[Source, Any], bool]:
    """Return the copy of the slices that doesn't go through the XCom backend, and whether there is a plan yet."""
    beside = {one._replace(key=SLICES_KEY): one for one in wanted}
    pushed = json_xcoms.pushed(connection, place[0], place[1], beside.keys())
    found = {beside[source]: slices for source, slices in pushed.items()}
    made = len(found) == len(wanted) or json_xcoms.is_pushed(connection, place[0], place[1], wanted)
    return found, made


def _keep(kept: dict[_Place, tuple[float, Any]], most: int, place: _Place, new: Any, seconds: float) -> None:
    now = time.monotonic()
    for old in [old for old, (until, _) in kept.items() if until <= now or old == place]:
        del kept[old]
    while len(kept) >= most:
        del kept[next(iter(kept))]
    kept[place] = (now + seconds, new)


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
