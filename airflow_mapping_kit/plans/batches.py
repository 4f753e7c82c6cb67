"""Batches whose items count as pieces: which task works on such, and what each batch holds."""

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
    :param state: `success` if there is something to do for it, else what it is without that.
    :param error: what went wrong before it came here.
    """

    key: str
    value: Any
    state: str = SUCCESS
    error: Error | None = None


@dataclass(frozen=True)
class Batched:
    """How a task gets its batches.

    :param parameter: the parameter that takes an item.
    :param argument: the mapped argument that holds a batch, after which its items are keyed: the same, or that of
        the mapped group around it, whose tasks may each call it otherwise.
    :param chained: whether a batch is what another batched task returned for its own: then the keys of its
        items stay, and what did not succeed there has nothing to do here.
    :param fields: which fields of an item are its key, all if not said.
    """

    parameter: str
    argument: str
    chained: bool = False
    fields: Sequence[str] | None = None

    def batch(self, mapped: Mapping[str, Any]) -> list[Any] | None:
        """Return the batch of one piece as the plan has it, `None` if what it was mapped over is none."""
        batch = _named(mapped).get(self.argument)
        return batch if isinstance(batch, list) else None

    def slice(self, mapped: Mapping[str, Any]) -> Slice | None:
        """Return the slice of a plan that one piece is mapped over, `None` if it is none."""
        return Slice.of(_named(mapped).get(self.argument))

    def part(self, mapped: Mapping[str, Any]) -> PartSummary | None:
        """Return the summary of results that one piece of a chain is mapped over, `None` if it is none."""
        return part_of(_named(mapped).get(self.argument)) if self.chained else None

    def arguments(self, mapped: Mapping[str, Any], value: Any) -> dict[str, Any]:
        """Return what a label may name of an item: what its piece was mapped over, the item in place of the batch."""
        return {**_named(mapped), self.argument: value, self.parameter: value}

    def items(self, mapped: Mapping[str, Any], batch: Iterable[Any]) -> list[Item]:
        """Return the items of a batch. Keys are not told apart: equal ones may be in different batches."""
        return list(map(self.maker(mapped), batch))

    def maker(self, mapped: Mapping[str, Any]) -> Callable[[Any], Item]:
        """Return what makes an item of each value of a batch, of a chain of the row that says what became of it."""
        if self.chained:
            return _of_row
        argument, others = self.argument, {**_named(mapped)}
        others.pop(argument, None)

        def item(value: Any) -> Item:
            named = value if self.fields is None else self._named_by(value)
            return Item(key_of({**others, argument: named} if others else {argument: named}), value)

        return item

    def _named_by(self, value: Any) -> Any:
        """Return what names a value, where that is not all of it."""
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
    """Return how an operator gets its batches, `None` for one that has no use for them.

    An operator whose pieces may be batches says so by its `batch_parameter`, and pushes a list of results,
    one an item, as the XCom `items_key`.

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
    """Return how a declared operator, mapped or not, gets the batch that it is given itself.

    Within a mapped group that may be what a task before it made of the group's argument.
    """
    parameter = str(batch_parameter_of(operator))
    how = batched(operator) or Batched(parameter, parameter, fields=item_fields_of(operator))
    given = given_to(operator, parameter)
    return how if group_argument_of(given) is not None else replace(how, chained=unwraps(given))


def _fields_of_maker(given: Any) -> Sequence[str] | None:
    """Return which fields name an item by the word of the generator that makes the batches, `None` for all."""
    return getattr(given.operator, "named_by", None) if xcom_kind(given) == "plain" else None


def given_to(operator: Any, argument: str) -> Any:
    """Return what a declared operator gets as an argument: a literal, or a reference that is known later."""
    if not is_mapped_operator(operator):
        return arguments(operator).get(argument)
    fixed = operator.partial_kwargs
    mapped = expand_input_of(operator).value  # type: ignore[union-attr]  # a mapped operator has one
    for given in (mapped, fixed.get("op_kwargs"), fixed):
        if isinstance(given, dict) and argument in given:
            return given[argument]
    return None


def unwraps(given: Any) -> bool:
    """Tell whether an argument is what a batched task returns: its items are the results of items."""
    if xcom_kind(given) != "plain" or given.key != RETURN_VALUE:
        return False
    return items_key_of(given.operator) == RETURN_VALUE


def batch_parameter_of(operator: Any) -> str | None:
    """Return which argument of a declared operator may be a batch, if one may."""
    find = getattr(_class_of(operator), "batch_parameter", None)
    return None if find is None else str(find(operator))


def needs_batches(operator: Any) -> bool:
    """Tell whether a declared operator works on batches only, and never on one piece by itself."""
    return bool(getattr(_class_of(operator), "needs_batches", False))


def takes_slices(operator: Any) -> bool:
    """Tell whether a declared operator reads its batch itself where that is kept elsewhere."""
    return bool(getattr(_class_of(operator), "takes_slices", False))


def item_fields_of(operator: Any) -> Sequence[str] | None:
    """Return which fields of an item are its key by a declared operator's own word, `None` for all."""
    find = getattr(_class_of(operator), "item_fields", None)
    return None if find is None else find(operator)


def items_key_of(operator: Any) -> str | None:
    """Return the key of the XCom in which an operator says what became of the items of a batch.

    :param operator: as its DAG keeps it, declared or serialized.
    """
    note = noted(operator)
    if note is not None:
        return note.get("items_key")
    return getattr(_class_of(operator), "items_key", None)


def declared_settings_of(operator: Any) -> Mapping[str, Any] | None:
    """Return what the DAG says of the settings that an operator looks for while it runs, `None` of one that doesn't.

    :param operator: as its DAG keeps it, declared or serialized.
    """
    note = noted(operator)
    if note is not None:
        return note.get("settings")
    find = getattr(_class_of(operator), "declared_settings", None)
    return None if find is None else find(operator)


def keeps_what_is_done(operator: Any) -> bool:
    """Tell whether an operator keeps what is done of a batch where a retry finds it, if there is such a place.

    :param operator: as its DAG keeps it, declared or serialized.
    """
    note = noted(operator)
    if note is not None:
        return bool(note.get("keeps_what_is_done"))
    return bool(getattr(_class_of(operator), "keeps_what_is_done", False))


def _class_of(operator: Any) -> Any:
    return getattr(operator, "operator_class", type(operator))
