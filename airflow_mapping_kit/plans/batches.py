"""Batches whose items count as pieces: which tasks work on them, and which items a batch has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import (
    expand_input_of,
    group_argument_of,
    is_mapped_operator,
    xcom_kind,
)
from airflow_mapping_kit.partitions.hidden import as_json, digest
from airflow_mapping_kit.plans.arguments import arguments
from airflow_mapping_kit.plans.notes import noted
from airflow_mapping_kit.plans.planned import key_of
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.results import SKIPPED, SUCCESS, UPSTREAM_FAILED, part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_mapping_kit.results import Error, PartSummary

RETURN_VALUE = "return_value"
# What Airflow's default trigger rule would make of an instance whose only predecessor ended so.
_AFTER = {SUCCESS: SUCCESS, SKIPPED: SKIPPED}


class Item(NamedTuple):
    """One item of a batch.

    :param key: its key, not yet told apart from equal ones.
    :param value: what the function gets.
    :param state: `success` if the function has to run for it, else its state without that.
    :param error: the error of an earlier task.
    """

    key: str
    value: Any
    state: str = SUCCESS
    error: Error | None = None


@dataclass(frozen=True)
class Batched:
    """How a task gets its batches.

    :param parameter: the parameter that takes an item.
    :param argument: the mapped argument that holds a batch, and that names its items in their keys: the same parameter,
        or the argument of the mapped group, whose tasks may use other names for it.
    :param chained: whether a batch is the output of another batched task. Then its items keep their keys, and items
        that didn't succeed there don't run here.
    :param fields: the fields of an item that make its key. Default: all.
    """

    parameter: str
    argument: str
    chained: bool = False
    fields: Sequence[str] | None = None

    def batch(self, mapped: Mapping[str, Any]) -> list[Any] | None:
        """Return the batch of one piece as the plan has it, `None` if the piece is not a batch."""
        batch = _named(mapped).get(self.argument)
        return batch if isinstance(batch, list) else None

    def slice(self, mapped: Mapping[str, Any]) -> Slice | None:
        """Return the slice of a plan that one piece is mapped over, `None` if the piece is not a slice."""
        return Slice.of(_named(mapped).get(self.argument))

    def part(self, mapped: Mapping[str, Any]) -> PartSummary | None:
        """Return the summary of results that one piece of a chain is mapped over, `None` if it is not a summary."""
        return part_of(_named(mapped).get(self.argument)) if self.chained else None

    def arguments(self, mapped: Mapping[str, Any], value: Any) -> dict[str, Any]:
        """Return the values that an item's label can use: the mapped arguments, with the item in place of the batch."""
        return {**_named(mapped), self.argument: value, self.parameter: value}

    def items(self, mapped: Mapping[str, Any], batch: Iterable[Any]) -> list[Item]:
        """Return the items of a batch. Equal keys are not numbered here, because they may be in different batches."""
        return list(map(self.maker(mapped), batch))

    def maker(self, mapped: Mapping[str, Any]) -> Callable[[Any], Item]:
        """Return the function that makes an item from a value of a batch; in a chain, from the row of its outcome."""
        if self.chained:
            return _of_row
        argument, others = self.argument, {**_named(mapped)}
        others.pop(argument, None)

        def item(value: Any) -> Item:
            named = value if self.fields is None else self._named_by(value)
            return Item(key_of({**others, argument: named} if others else {argument: named}), value)

        return item

    def _named_by(self, value: Any) -> Any:
        """Return the part of a value that names it, if it is not the whole value."""
        if isinstance(value, dict):
            return {name: value.get(name) for name in self.fields or ()}
        # Whoever only reads names what has not these fields as well, without showing what it has.
        return digest(as_json(value))


def _of_row(row: Mapping[str, Any]) -> Item:
    state = _AFTER.get(row["state"], UPSTREAM_FAILED)
    return Item(row["key"].partition("#")[0], row["value"], state, row["error"])


def _named(mapped: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments of a classic operator's function by name."""
    op_kwargs = mapped.get("op_kwargs")
    if not isinstance(op_kwargs, dict):
        return mapped
    return {**{name: value for name, value in mapped.items() if name != "op_kwargs"}, **op_kwargs}


def batched(operator: Any) -> Batched | None:
    """Return how an operator gets its batches, `None` for an operator that takes none.

    An operator that takes batches has a `batch_parameter`, and pushes a list of results, one per item, as the XCom
    `items_key`.

    :param operator: as its DAG keeps it, declared or serialized.
    """
    note = noted(operator)
    if note is not None:
        return Batched(**note["batched"]) if "batched" in note else None
    parameter = batch_parameter_of(operator)
    expand_input = expand_input_of(operator)
    if parameter is None or expand_input is None:
        return None
    given, fields = given_to(operator, parameter), item_fields_of(operator)
    # Within a mapped group it takes the group's argument, or what a batched task before it made of that.
    argument = group_argument_of(given)
    if argument is not None:
        named = expand_input.value if isinstance(expand_input.value, dict) else {}
        given = named.get(argument)
        return Batched(parameter, argument, unwraps(given), fields or _fields_of_maker(given))
    if is_mapped_operator(operator):
        return Batched(parameter, parameter, unwraps(given), fields or _fields_of_maker(given))
    before = batched(given.operator) if unwraps(given) else None
    return None if before is None else replace(before, parameter=parameter)


def received(operator: Any) -> Batched:
    """Return how a declared operator, mapped or not, gets the batch in its own argument.

    In a mapped group this may be the output of an upstream task, made from the group's argument.
    """
    parameter = str(batch_parameter_of(operator))
    how = batched(operator) or Batched(parameter, parameter, fields=item_fields_of(operator))
    given = given_to(operator, parameter)
    return how if group_argument_of(given) is not None else replace(how, chained=unwraps(given))


def _fields_of_maker(given: Any) -> Sequence[str] | None:
    """Return the fields that name an item, as the generator of the batches says; `None` for all."""
    return getattr(given.operator, "named_by", None) if xcom_kind(given) == "plain" else None


def given_to(operator: Any, argument: str) -> Any:
    """Return the argument of a declared operator: a literal, or a reference to a later value."""
    if not is_mapped_operator(operator):
        return arguments(operator).get(argument)
    fixed = operator.partial_kwargs
    mapped = expand_input_of(operator).value  # type: ignore[union-attr]  # a mapped operator has one
    for given in (mapped, fixed.get("op_kwargs"), fixed):
        if isinstance(given, dict) and argument in given:
            return given[argument]
    return None


def unwraps(given: Any) -> bool:
    """Tell whether an argument is the output of a batched task: its items are the results of items."""
    if xcom_kind(given) != "plain" or given.key != RETURN_VALUE:
        return False
    return items_key_of(given.operator) == RETURN_VALUE


def batch_parameter_of(operator: Any) -> str | None:
    """Return which argument of a declared operator may be a batch, if one may."""
    find = getattr(_class_of(operator), "batch_parameter", None)
    return None if find is None else str(find(operator))


def needs_batches(operator: Any) -> bool:
    """Tell whether a declared operator takes only batches, and never a single piece."""
    return bool(getattr(_class_of(operator), "needs_batches", False))


def takes_slices(operator: Any) -> bool:
    """Tell whether a declared operator can read a batch that is stored elsewhere."""
    return bool(getattr(_class_of(operator), "takes_slices", False))


def item_fields_of(operator: Any) -> Sequence[str] | None:
    """Return the fields that name an item, as a declared operator itself says; `None` for all."""
    find = getattr(_class_of(operator), "item_fields", None)
    return None if find is None else find(operator)


def items_key_of(operator: Any) -> str | None:
    """Return the key of the XCom in which an operator pushes the outcomes of the items of a batch.

    :param operator: as its DAG keeps it, declared or serialized.
    """
    note = noted(operator)
    if note is not None:
        return note.get("items_key")
    return getattr(_class_of(operator), "items_key", None)


def declared_settings_of(operator: Any) -> Mapping[str, Any] | None:
    """Return the DAG's values of the settings that an operator reads while it runs, `None` if it reads none.

    :param operator: as its DAG keeps it, declared or serialized.
    """
    note = noted(operator)
    if note is not None:
        return note.get("settings")
    find = getattr(_class_of(operator), "declared_settings", None)
    return None if find is None else find(operator)


def keeps_what_is_done(operator: Any) -> bool:
    """Tell whether an operator keeps a checkpoint of a batch for its retries, if there is a place for it.

    :param operator: as its DAG keeps it, declared or serialized.
    """
    note = noted(operator)
    if note is not None:
        return bool(note.get("keeps_what_is_done"))
    return bool(getattr(_class_of(operator), "keeps_what_is_done", False))


def _class_of(operator: Any) -> Any:
    return getattr(operator, "operator_class", type(operator))
