"""The plan of a mapped task: what each map index works on, from the DAG and the XComs that it names.

It reads no database: the caller passes the XComs. So the policy, the fan-in and the command line share this code, for
declared and for serialized DAGs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow_mapping_kit.compat import hidden_names, is_mapped, xcom_kind
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.partitions import piece_key
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.reading.instances import Source

Read = Callable[[Source], Any]


def sources(expand_input: Any) -> set[Source]:
    """Return the XComs that a plan is made of, also those inside literals: `expand(x=[a(), b()])`."""
    return set(references(expand_input.value))


def references(value: Any) -> Iterator[Source]:
    """Yield the XComs that a value refers to, however nested."""
    kind = xcom_kind(value)
    if kind == "plain":
        yield Source(value.operator.task_id, value.key, is_mapped(value.operator))
    elif kind == "map":
        yield from references(value.arg)
    elif kind is not None or isinstance(value, list | tuple | Mapping):
        parts = value.args if kind else value.values() if isinstance(value, Mapping) else value
        for part in parts:
            yield from references(part)


def calls_functions(value: Any) -> bool:
    """Tell whether the plan goes through functions of the DAG's author, `XComArg.map`.

    :param value: an expand input's value, or any part of it.
    """
    if isinstance(value, Mapping):
        return any(map(calls_functions, value.values()))
    if isinstance(value, list | tuple):
        return any(map(calls_functions, value))
    kind = xcom_kind(value)
    return kind == "map" or (kind in {"zip", "concat"} and calls_functions(value.args))


def key_of(mapped: Mapping[str, Any], over: Any = None) -> str:
    """Return the key of one piece. An entry of `expand_kwargs` may be empty; then it is `{}`.

    :param mapped: the arguments of the piece, by name.
    :param over: the value of the expand input that they are from, whose generators may choose what names a piece.
    """
    if not mapped:
        return "{}"
    return (over is not None and chosen_key(mapped, over)) or piece_key(mapped, hidden=hidden_names())


def chosen_key(mapped: Mapping[str, Any], over: Any) -> str | None:
    """Return the key of one piece whose generator has chosen which fields name it, `None` if none has."""
    chosen: Any = (
        {name: chosen_of(value, over.get(name)) for name, value in mapped.items()}
        if isinstance(over, Mapping)
        else chosen_of(mapped, over)
    )
    return None if chosen == mapped else piece_key(chosen, hidden=hidden_names())


def chosen_of(value: Any, made_by: Any) -> Any:
    """Return the fields of a generator's piece that name it, the whole piece if the generator has not chosen any."""
    if xcom_kind(made_by) != "plain" or not isinstance(value, Mapping):
        return value
    # A slice is none of the pieces, and of a mapped generator Airflow maps over lists, which have no fields.
    if Slice.of(value) is not None:
        return value
    fields = getattr(made_by.operator, "named_by", None)
    return {name: value.get(name) for name in fields} if fields else value


class Plan:
    """The mapped arguments of every piece, by map index: `{argument: value}`.

    :param expand_input: what a mapped task or group is mapped over.
    :param read: gives the value of a source, `None` if nothing was pushed.
    :param order: the arguments of `expand` in the order in which they were declared, where
        `expand_input` has lost it.
    :raises PlanError: if a source was not pushed, or is nothing that Airflow can map over.
    """

    def __init__(self, expand_input: Any, read: Read, *, order: Sequence[str] | None = None) -> None:
        value = expand_input.value
        self._by_argument: dict[str, Sequence[Any]] | None = None
        if isinstance(value, Mapping):
            self._by_argument = {name: _sequence(value[name], read) for name in order or value}
            self._length = math.prod(map(len, self._by_argument.values()))
            return
        self._entries = _sequence(value, read)
        self._length = len(self._entries)

    def __len__(self) -> int:
        """Return the number of pieces."""
        return self._length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield what every piece was mapped over, in map-index order."""
        return (self[index] for index in range(self._length))

    def columns(self) -> dict[str, Sequence[Any]] | None:
        """Return what every piece was mapped over, by argument: `{argument: [value of the first piece, ...]}`.

        :return: `None` for `expand_kwargs`, whose entries may each have other arguments.
        """
        if self._by_argument is None:
            return None
        if len(self._by_argument) == 1:
            return dict(self._by_argument)
        # The last argument changes fastest.
        rows = itertools.product(*self._by_argument.values())
        return dict(zip(self._by_argument, zip(*rows, strict=True), strict=True)) if self._length else {}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return what the piece of a map index was mapped over."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        if self._by_argument is None:
            entry = self._entries[index]
            return dict(entry) if isinstance(entry, Mapping) else {"expand_kwargs": entry}
        found = {}
        for name, values in reversed(self._by_argument.items()):
            index, position = divmod(index, len(values))
            found[name] = values[position]
        return {name: found[name] for name in self._by_argument}


def _sequence(value: Any, read: Read) -> Sequence[Any]:
    resolved = _value(value, read)
    # Airflow maps over the items of a dict.
    if isinstance(resolved, Mapping):
        return list(resolved.items())
    if isinstance(resolved, Sequence) and not isinstance(resolved, str):
        return resolved
    raise PlanError(f"Airflow cannot map over {type(resolved).__name__}: return a list or a dict.")


def _value(value: Any, read: Read) -> Any:
    """Return the value of an argument: a literal with its references resolved, or an XCom."""
    kind = xcom_kind(value)
    if kind is None:
        return value if next(references(value), None) is None else filled(value, read)
    if kind == "plain":
        source = Source(value.operator.task_id, value.key, is_mapped(value.operator))
        pushed = read(source)
        if pushed is None:
            raise PlanError(
                f"{source.task_id} has no XCom {source.key!r} in this run: it was cleared, or deleted since."
            )
        return pushed
    if kind == "map":
        return _Mapped(_sequence(value.arg, read), value.callables)
    parts = [_sequence(part, read) for part in value.args]
    if kind == "concat":
        return [element for part in parts for element in part]
    return _zipped(parts, value.fillvalue)


def filled(literal: Any, read: Read) -> Any:
    """Return a literal in which XComs replace the references to them; `None` replaces a missing XCom.

    :param read: gives the value of a source, `None` if nothing was pushed.
    """
    if isinstance(literal, Mapping):
        return {name: filled(part, read) for name, part in literal.items()}
    if isinstance(literal, list | tuple):
        return [filled(part, read) for part in literal]
    try:
        return _value(literal, read)
    except PlanError:  # as the instance gets it: how many pieces there are doesn't depend on it
        return None


def _zipped(parts: list[Sequence[Any]], fill: Any) -> list[tuple[Any, ...]]:
    # Without a fill value Airflow has a marker there, whose class has another name on every version.
    fills = type(fill).__name__ not in {"ArgNotSet", "SetDuringExecution"}
    length = (max if fills else min)(map(len, parts))
    return [tuple(part[i] if i < len(part) else fill for part in parts) for i in range(length)]


class _Mapped(Sequence[Any]):
    """The result of `XComArg.map` on a list, computed element by element when it is read."""

    def __init__(self, values: Sequence[Any], functions: Sequence[Callable[[Any], Any]]) -> None:
        self._values = values
        self._functions = functions

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> Any:
        value = self._values[index]
        try:
            for function in self._functions:
                value = function(value)
        except Exception:  # noqa: BLE001 -- the function skips or fails the instance: what it was given names it
            return self._values[index]
        return value
