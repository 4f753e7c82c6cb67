"""What of a plan is not there yet: partitions compared by their keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeVar

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.hidden import HIDDEN_NAMES, HiddenValue
from airflow_mapping_kit.partitions.keys import (
    check_name,
    components,
    escape,
    parse_partition_key,
    partition_key,
    value_key,
)
from airflow_mapping_kit.partitions.pieces import piece_key
from airflow_mapping_kit.partitions.sequences import ordered, shown

Entry = TypeVar("Entry", bound=str | Mapping[str, Any])

# What tells equal keys of a plan apart: no key holds a `#` of its own.
_NUMBERED = re.compile(r"#[0-9]+\Z")
# Of these alone what is equal has the same key: 0.0 is -0.0.
_EXACT = (str, int)
# So many different values are remembered: what is there may have far more.
_REMEMBERED = 20_000


def without(
    plan: Iterable[Entry], there: Iterable[Any], *, hidden: frozenset[str] = HIDDEN_NAMES
) -> list[Entry]:
    """Return the partitions of a plan that don't exist yet, in the plan's order, compared by their keys.

    `without([{"date": "2013-01-01"}, {"date": "2013-01-02"}], ["date=2013-01-01"])` gives `[{"date": "2013-01-02"}]`.
    1 and "1" have the same key, and the order of dimensions doesn't matter. `there` may be a Python generator of any
    length, because its entries are not kept.

    :param plan: partitions, or their keys
    :param there: the partitions that exist, or their keys, or lists of these, in any order: from `lake_partitions`,
        `s3_partitions` or `sql_rows`, or the keys of a report or an event. A key that was cut, or that has digests,
        matches each partition of the plan that has the same key. Entries that the plan doesn't have are ignored.
    :param hidden: the names that hide a field, in lower case
    :return: the entries of the plan that are missing; an entry that the plan has twice is returned twice
    :raises PartitionError: naming an entry that is neither a partition nor a key; or if no entry of `there` has the
        dimensions of an entry of the plan, because the whole plan would be missing by mistake
    :raises PlanError: if the plan has more than 1,000,000 entries
    """
    spell = _Speller()
    entries = ordered("the plan", plan)
    keys = [spell.planned(entry) for entry in entries]
    missing = set(keys)
    comparable, other = not missing, ""
    names: set[tuple[str, ...]] = set()
    aliases: dict[str, set[str]] | None = None
    for entry in _each(there):
        # Most keys are as the kit writes them.
        key = entry if isinstance(entry, str) and entry in missing else spell.found(entry)
        if key is None:
            if aliases is None:
                aliases = _aliases(entries, keys, hidden)
            missing -= aliases.get(_NUMBERED.sub("", entry), set())
            comparable = True
        elif key in missing:
            missing.remove(key)
            comparable = True
        elif not comparable:
            names = names or set(map(_names, missing))
            comparable, other = _names(key) in names, key
    if other and not comparable:
        raise PartitionError(
            f"nothing that is there has the dimensions of the plan: there is {shown(other)}, and the plan has "
            f"{shown(keys[0])}. Give both the same dimensions, else all of the plan would count as missing"
        )
    return [entry for entry, key in zip(entries, keys, strict=True) if key in missing]


def _each(there: Any) -> Iterator[Any]:
    if isinstance(there, str | bytes | Mapping) or not isinstance(there, Iterable):
        raise PartitionError(f"what is there is {shown(there)}: pass a list of partitions or of their keys")
    for entry in there:
        # What the instances of a mapped task returned, or batches.
        if isinstance(entry, list | tuple):
            yield from _each(entry)
        else:
            yield entry


def _names(key: str) -> tuple[str, ...]:
    return tuple(component.partition("=")[0] for component in key.split("/"))


def _aliases(entries: list[Any], keys: list[str], hidden: frozenset[str]) -> dict[str, set[str]]:
    """Return which keys of the plan a key stands for that was made to be shown."""
    aliases: dict[str, set[str]] = {}
    for entry, key in zip(entries, keys, strict=True):
        partition = parse_partition_key(entry) if isinstance(entry, str) else entry
        aliases.setdefault(piece_key({"partition": partition}, hidden=hidden), set()).add(key)
    return aliases


class _Speller:
    """Gives partitions and keys the one form in which they can be compared.

    The values of dimensions come again and again: what a key says of each is made once.
    """

    def __init__(self) -> None:
        self._orders: dict[tuple[Any, ...], list[str]] = {}
        self._parts: dict[tuple[str, type, Any], str] = {}
        self._texts: dict[str, tuple[str, str] | None] = {}

    def planned(self, entry: Any) -> str:
        """Return the key of an entry of a plan."""
        key = self.found(entry)
        if key is None:
            parse_partition_key(entry)  # says why it is none
            raise PartitionError(f"{shown(entry)} is no whole partition key: take the partition itself")
        return key

    def found(self, entry: Any) -> str | None:
        """Return the key of an entry; `None` if it is a key that was made to be shown, not to be read."""
        if isinstance(entry, str):
            return self._of_key(entry)
        if not isinstance(entry, Mapping) or not entry:
            raise PartitionError(
                f"{shown(entry)} is no partition and no key: pass dicts such as {{'date': '2013-01-01'}}, or keys "
                f"such as 'date=2013-01-01'"
            )
        shape = tuple(entry)
        names = self._orders.get(shape) or self._order(shape)
        parts = self._parts
        try:
            # By the type too: True is 1.
            return "/".join(
                [
                    parts.get((name, type(value := entry[name]), value)) or self._part(name, value)
                    for name in names
                ]
            )
        except TypeError:  # a list, of which no key can be made: it says so
            return partition_key(entry)

    def _order(self, shape: tuple[Any, ...]) -> list[str]:
        for name in shape:
            check_name(name)
        return _remember(self._orders, shape, sorted(shape))

    def _part(self, name: str, value: Any) -> str:
        part = f"{escape(name)}={value_key(name, value)}"
        if type(value) not in _EXACT:
            return part
        return _remember(self._parts, (name, type(value), value), part)

    def _of_key(self, key: str) -> str | None:
        if "#" in key:
            return None
        parts = []
        for text in key.split("/"):
            part = self._texts[text] if text in self._texts else self._read(text, key)
            if part is None:
                return None
            parts.append(part)
        if len(parts) > 1:
            parts.sort()
            if any(one[0] == other[0] for one, other in pairwise(parts)):
                components(key)  # says that a dimension is there twice
        return "/".join([part for _, part in parts])

    def _read(self, text: str, key: str) -> tuple[str, str] | None:
        """Return the name in a part of a key and the part as the kit writes it; `None` if it has a digest."""
        try:
            ((name, value),) = components(text).items()
        except PartitionError:
            components(key)  # says it of the whole key
            raise
        hidden = isinstance(value, HiddenValue)
        return _remember(self._texts, text, None if hidden else (name, self._part(name, value)))


Kept = TypeVar("Kept")


def _remember(known: dict[Any, Kept], name: Any, value: Kept) -> Kept:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[name] = value
    return value
