"""Piece keys: the text by which one planned instance, or one item of a batch, is known everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.hidden import HIDDEN_NAMES, as_json, digest, hide, is_hidden
from airflow_mapping_kit.partitions.keys import CUT_LENGTH, cut_mark, escape, partition_key, value_key
from airflow_mapping_kit.partitions.sequences import shown

MAX_PIECE_KEY_BYTES = 512


def piece_key(mapped_arguments: Mapping[str, Any], *, hidden: frozenset[str] = HIDDEN_NAMES) -> str:
    """Return the key of one mapped instance (or one item of a batch) from its mapped arguments.

    * one partition: its partition key. `{"partition": {"date": "2024-11-20"}}` gives `date=2024-11-20`
    * one scalar: `{"country": "US"}` gives `country=US`
    * a one-element list: the key of its element. `{"files": ["a.csv"]}` gives `files=a.csv`
    * several arguments: a component for each, sorted by name. `{"x": 1, "day": "mon"}` gives `day=mon/x=1`;
      a partition among them counts with its own key as the value, `part=date%3D2024-11-20/x=1`
    * anything else, also values that no partition key can hold (`""`, NaN): `argument=` and 12 hexadecimal
      digits of the SHA-256 of its JSON

    Text in a field that Airflow hides by its name, at any depth, is `*` and 12 digits of its SHA-256:
    `{"account": {"id": "a1", "token": "x7"}}` gives `id=a1/token=*8cf3ebbdacdd`, which no partition has.

    A key of more than 512 bytes of UTF-8 is cut between characters and ends in `#~` and 12 digits of the
    SHA-256 of the whole, by which `parse_partition_key` knows that it is no partition's. Pieces can have equal
    keys (1 and "1"): only a whole plan shows that, so the `#2`, `#3` that tell them apart are added where the
    plan is read, not here.

    :param mapped_arguments: the names and values that differ from instance to instance
    :param hidden: the names that hide a field, in lower case. Default: Airflow's own; where the kit makes a key,
        those of `[core] sensitive_var_conn_names` too
    :raises PartitionError: if there are none
    """
    if type(mapped_arguments) is dict and len(mapped_arguments) == 1:
        ((name, value),) = mapped_arguments.items()
        # What most items of a million are: nothing within it is looked for.
        if type(name) is type(value) is str and not is_hidden(name, hidden):
            return _cut(_component(name, value))
    if not isinstance(mapped_arguments, Mapping) or not mapped_arguments:
        raise PartitionError(f"a piece needs at least one mapped argument, not {shown(mapped_arguments)}")
    pieces = {str(name): _only_element(value) for name, value in hide(mapped_arguments, hidden).items()}
    if len(pieces) == 1:
        (value,) = pieces.values()
        key = _partition_key_or_none(value)
        if key is not None:
            return _cut(key)
    return _cut("/".join(_component(argument, pieces[argument]) for argument in sorted(pieces)))


def distinct(keys: Iterable[str]) -> list[str]:
    """Return the keys of a plan with equal ones told apart: the second gets `#2`, the third `#3`.

    `["a", "b", "a"]` gives `["a", "b", "a#2"]`. A key itself never ends so, so none is taken already.

    :param keys: what `piece_key` gave, in map-index order
    """
    return list(map(Distinct(), keys))


class Distinct:
    """Tells equal keys apart that come one by one: called with each, it returns what that is called."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._numbers: dict[str, int] = {}

    def __call__(self, key: str) -> str:
        """Return a key, with a number if it has come before."""
        if key not in self._seen:
            self._seen.add(key)
            return key
        number = self._numbers[key] = self._numbers.get(key, 1) + 1
        return f"{key}#{number}"


def _only_element(value: Any) -> Any:
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return value


def _partition_key_or_none(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return None
    try:
        return partition_key(value)
    except PartitionError:
        return None


def _component(argument: str, value: Any) -> str:
    try:
        text = value_key(argument, value)
    except PartitionError:
        key = _partition_key_or_none(value)
        text = digest(as_json(value)) if key is None else escape(key)
    return f"{_name(argument)}={text}"


# A plan has few arguments.
_name = lru_cache(maxsize=256)(escape)


def _cut(key: str) -> str:
    if len(key) <= MAX_PIECE_KEY_BYTES and key.isascii():
        return key
    encoded = key.encode()
    if len(encoded) <= MAX_PIECE_KEY_BYTES:
        return key
    kept = encoded[: MAX_PIECE_KEY_BYTES - CUT_LENGTH].decode(errors="ignore")
    return f"{kept}{cut_mark(key)}"
