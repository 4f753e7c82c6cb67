"""The dimensions of the pieces of a plan, whatever the shape of what they are mapped over.

Names and values are such that a piece's key, made of them, is the key that it has everywhere else.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from contextlib import suppress
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.history.pieces import BY_BATCH, BY_KEY, NOTHING, Pieces, coded
from airflow_mapping_kit.partitions import partition_key
from airflow_mapping_kit.partitions.hidden import as_json, digest, hide, is_hidden
from airflow_mapping_kit.partitions.keys import DEFAULT_PARTITION, components, value_key
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.plans.planned import chosen_of, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mapping_kit.plans.batches import Batched
    from airflow_mapping_kit.plans.planned import Plan

_Columns = Mapping[str, "Sequence[Any]"]
_Named = tuple[tuple[str, ...], "list[Sequence[str]]"]


class _NoDimensionsError(Exception):
    """Pieces have no dimensions in common."""


def pieces_of(
    plan: Plan, over: Any, how: Batched | None, batches: Sequence[list[Any]] | None = None
) -> Pieces:
    """Return the pieces of a plan with their dimensions, the items of batches one by one.

    Pieces of one partition each have the dimensions of the partition, others those arguments that they are mapped
    over. Where they have none in common, each is known by its key.

    :param over: the value of the expand input, whose generators may choose what names a piece.
    :param how: how the task gets its batches, if it does.
    :param batches: what they hold, where the plan has them by reference.
    """
    if not len(plan):
        return NOTHING
    if how is not None and batches is not None:
        return _of_batches(plan, how, batches)
    columns = plan.columns()
    batch = None if how is None or columns is None else columns.get(how.argument)
    if how is not None and batch is not None and all(isinstance(one, list) for one in batch):
        return _of_batches(plan, how, batch)
    if how is not None and columns is None and all(how.batch(mapped) is not None for mapped in plan):
        return _of_batches(plan, how, [how.batch(mapped) or [] for mapped in plan])
    try:
        names, made = _dimensions(_chosen(plan, columns, over))
    except _NoDimensionsError:
        return _by_key(key_of(mapped, over) for mapped in plan)
    return Pieces(names, *coded(made))


def batches_by(names: Sequence[str], items: int) -> Pieces:
    """Return batches in place of their items.

    :param names: what they are called.
    :param items: how many items they hold.
    """
    return Pieces((BY_BATCH,), *coded([distinct(names)]), by_key=True, unread=items)


def _of_batches(plan: Plan, how: Batched, batches: Sequence[list[Any]]) -> Pieces:
    ends = array("I", accumulate(map(len, batches)))
    if not ends[-1]:
        return Pieces((BY_KEY,), *coded([[]]), ends, by_key=True)
    # Of one argument the items are the pieces; with others beside them the keys say what belongs together.
    if not how.chained and how.fields is None and list(plan[0]) == [how.argument]:
        with suppress(_NoDimensionsError):
            names, made = _dimensions({how.argument: list(chain.from_iterable(batches))})
            return Pieces(names, *coded(made), ends)
    pairs = zip(plan, batches, strict=True)
    keys = [item.key for mapped, batch in pairs for item in how.items(mapped, batch)]
    try:
        return Pieces(*_of_keys(keys), ends)
    except _NoDimensionsError:
        return _by_key(keys, ends)


def _by_key(keys: Iterable[str], ends: array[int] | None = None) -> Pieces:
    return Pieces((BY_KEY,), *coded([distinct(keys)]), ends, by_key=True)


def _of_keys(
    keys: Sequence[str],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[array[int], ...]]:
    try:
        parts = [components(key) for key in keys]
    except PartitionError:
        raise _NoDimensionsError from None
    names = tuple(sorted(parts[0]))
    if any(part.keys() != parts[0].keys() for part in parts):
        raise _NoDimensionsError
    columns = [[part[name] or DEFAULT_PARTITION for part in parts] for name in names]
    if len(set(zip(*columns, strict=True))) < len(keys):
        raise _NoDimensionsError
    return (names, *coded(columns))


def _chosen(plan: Plan, columns: _Columns | None, over: Any) -> _Columns:
    """Return what names the pieces: the fields that their generators have chosen, or all that they are mapped over."""
    if columns is not None:
        return {
            name: [chosen_of(value, over.get(name)) for value in values]
            if _chooses(over.get(name))
            else values
            for name, values in columns.items()
        }
    entries = [chosen_of(mapped, over) for mapped in plan]
    names = tuple(entries[0])
    if not names or any(
        not isinstance(entry, Mapping) or entry.keys() != entries[0].keys() for entry in entries
    ):
        raise _NoDimensionsError
    return {name: [entry[name] for entry in entries] for name in names}


def _chooses(made_by: Any) -> bool:
    return bool(getattr(getattr(made_by, "operator", None), "named_by", None))


def _dimensions(columns: _Columns) -> _Named:
    """Return names and columns of text.

    :raises _NoDimensionsError: if the pieces have no dimensions in common, or two of them the same.
    """
    hidden = hidden_names()
    if len(columns) == 1:
        ((argument, values),) = columns.items()
        if is_hidden(argument, hidden):
            values = [hide(value, hidden, name=argument) for value in values]
        kinds = set(map(type, values))
        if kinds & {list, tuple}:
            values = [_only_element(value) for value in values]
            kinds = set(map(type, values))
        if kinds == {dict}:
            return _of_partitions(values, hidden)
        if dict in kinds:
            raise _NoDimensionsError
    names = tuple(sorted(columns))
    made = [_components(name, columns[name], hidden) for name in names]
    return _told_apart(names, made)


def _of_partitions(partitions: Sequence[dict[str, Any]], hidden: frozenset[str]) -> _Named:
    names = tuple(sorted(partitions[0]))
    if not names or not all(isinstance(name, str) and name for name in names):
        raise _NoDimensionsError
    try:
        if any(len(one) != len(names) for one in partitions):
            raise _NoDimensionsError
        columns = [[one[name] for one in partitions] for name in names]
        made = [_values(name, column, hidden) for name, column in zip(names, columns, strict=True)]
    except (KeyError, PartitionError, TypeError):
        raise _NoDimensionsError from None
    return _told_apart(names, made)


def _told_apart(
    names: tuple[str, ...], columns: list[Sequence[str]]
) -> tuple[tuple[str, ...], list[Sequence[str]]]:
    number = len(columns[0])
    different = len(set(columns[0])) if len(columns) == 1 else len(set(zip(*columns, strict=True)))
    if different < number:
        raise _NoDimensionsError
    return names, columns


def _values(name: str, column: Sequence[Any], hidden: frozenset[str]) -> Sequence[str]:
    """Return the values of a dimension of partitions as text.

    :raises PartitionError: if one can be no part of a key.
    """
    shown: Sequence[Any] = (
        [hide(value, hidden, name=name) for value in column] if is_hidden(name, hidden) else column
    )
    if set(map(type, shown)) == {str}:
        for value in set(shown):
            value_key(name, value)
        return shown
    return [_text(name, value) for value in shown]


def _text(name: str, value: Any) -> str:
    key = value_key(name, value)  # raises of what can't be in a key
    return value if isinstance(value, str) else key


def _components(name: str, column: Sequence[Any], hidden: frozenset[str]) -> Sequence[str]:
    """Return the values of an argument as text, as they stand in the key of a piece that has several."""
    try:
        return _values(name, column, hidden)
    except (PartitionError, TypeError):
        return [_component(name, _only_element(hide(value, hidden, name=name))) for value in column]


def _component(name: str, value: Any) -> str:
    try:
        return _text(name, value)
    except PartitionError:
        if isinstance(value, Mapping):
            try:
                return partition_key(value)
            except PartitionError:
                pass
        return digest(as_json(value))


def _only_element(value: Any) -> Any:
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return value
