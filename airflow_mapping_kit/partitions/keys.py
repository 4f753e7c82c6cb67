"""Partition keys: the path that Hive, Spark and DuckDB write, `country=US/date=2024-11-20`."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.hidden import HIDDEN_NAMES, HIDDEN_VALUE, HiddenValue, hide
from airflow_mapping_kit.partitions.sequences import ordered, shown

DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"

# What Hive escapes in a path, and NUL, which no file system takes.
_ESCAPES = {ord(char): f"%{ord(char):02X}" for char in "\"#%'*/:=?\\{[]^\x7f"}
_ESCAPES.update({code: f"%{code:02X}" for code in range(0x20)})
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# No key holds a `#` of its own.
_CUT = re.compile(r"#~[0-9a-f]{12}(#\d+)?\Z")
CUT_LENGTH = 14
_SURROGATE = re.compile("[\ud800-\udfff]")
# In a path DuckDB takes it for SQL's, in any case; to Hive and Spark it is text.
_NULL = re.compile("null", re.IGNORECASE)
# What is its own key but for slashes, as most texts are, and most keys of object storage.
_PLAIN = re.compile(r"(?!__|[Nn][Uu][Ll][Ll]\Z)[-.\w/]+", re.ASCII)


def partition_key(partition: Mapping[str, Any]) -> str:
    r"""Return the Hive-style key of a partition: its dimensions sorted by name, values percent-encoded.

    `{"date": "2024-11-20", "country": "US"}` gives `country=US/date=2024-11-20`; `{"path": "a/b"}` gives
    `path=a%2Fb`. `None` becomes `__HIVE_DEFAULT_PARTITION__`. The text `NULL` becomes `%4EULL`, so that every
    reader reads it as text. Booleans are in lower case, and text outside ASCII stays as it is. Every component is
    `name=value`, so no value can lead out of its directory.

    :param partition: dimension names to `str`, `int`, `float`, `bool` or `None`
    :return: the key; equal partitions have equal keys whatever the order of their dimensions
    :raises PartitionError: if the partition is empty or not a mapping, a name is not text or is empty, or a value
        can't be part of a key: not a scalar, the empty string, NaN, infinity, a lone surrogate, or the
        text `__HIVE_DEFAULT_PARTITION__` itself
    """
    if type(partition) is not dict and not isinstance(partition, Mapping):
        raise PartitionError(
            f"{shown(partition)} is no partition: pass a dict such as {{'date': '2024-11-20'}}"
        )
    if not partition:
        raise PartitionError("a partition without dimensions, {}, has no key: give it at least one dimension")
    try:
        names = sorted(partition)
    except TypeError:  # a number among texts: it is told which
        names = list(partition)
    # By the exact types: what equals a text can have another key, as a digest in place of one does.
    return "/".join(
        [
            text_component(name, value)
            if type(name) is type(value := partition[name]) is str
            else _component(name, value)
            for name in names
        ]
    )


def parse_partition_key(key: str) -> dict[str, str | None]:
    """Return the partition that a key names, its values as text.

    `country=US/date=2024-11-20` gives `{"country": "US", "date": "2024-11-20"}`. All values are text, because a key
    can't tell 1 from "1" or true from "true". Only `__HIVE_DEFAULT_PARTITION__` becomes `None`. So the key of the
    result is the same key again. A bare `NULL` that another tool wrote is text, as in Hive and Spark. The dimensions
    may be in any order.

    :raises PartitionError: if the key is not such a path: a component without `=`, an empty name or value, the same
        dimension twice, or a `%` without two hexadecimal digits; or if the key was cut, or has a digest in place of
        a hidden value
    """
    partition = components(key)
    for name, value in partition.items():
        if isinstance(value, HiddenValue):
            raise PartitionError(
                f"the partition key {shown(key)} has a digest in place of the value of {shown(name)}, for Airflow "
                f"hides fields of that name: take the partition itself, or call the dimension otherwise"
            )
    return partition


def components(key: str) -> dict[str, str | None]:
    """Return what a key says of each dimension: as `parse_partition_key`, with the digests of what is hidden."""
    if not isinstance(key, str) or not key:
        raise PartitionError(
            f"{shown(key)} is no partition key: pass text such as 'country=US/date=2024-11-20'"
        )
    if _CUT.search(key):
        raise PartitionError(
            f"the partition key {shown(key)} was too long for where it was kept, and cut: what is left of it is no "
            f"partition. Take the partition itself, or whole keys: changed_partitions() gives them of what "
            f"mark_changed() was told"
        )
    partition: dict[str, str | None] = {}
    for component in key.split("/"):
        raw_name, equals, raw_value = component.partition("=")
        if not (raw_name and equals and raw_value):
            raise PartitionError(
                f"{shown(component)} in the partition key {shown(key)} is not 'dimension=value': "
                f"pass a key as partition_key() writes it, without slashes at its ends"
            )
        if _LONE_PERCENT.search(component):
            raise PartitionError(
                f"{shown(component)} in the partition key {shown(key)} has a '%' that no two hexadecimal "
                f"digits follow: write a percent sign as '%25'"
            )
        name, value = _unescape(raw_name), _unescape(raw_value)
        if name in partition:
            raise PartitionError(
                f"the partition key {shown(key)} has the dimension {shown(name)} twice: keep one"
            )
        if HIDDEN_VALUE.fullmatch(raw_value):
            value = HiddenValue(value)
        partition[name] = None if value == DEFAULT_PARTITION else value
    return partition


def hidden_key(key: str, names: frozenset[str]) -> str:
    """Return a partition's key as it is shown and told to others: with digests of what is hidden.

    :param names: what hides a field, in lower case.

    Example: `hidden_key("id=a1/token=x7", HIDDEN_NAMES)` gives `id=a1/token=*8cf3ebbdacdd`.
    """
    try:
        partition = components(key)
    except PartitionError:
        return key
    shown_parts = hide(partition, names)
    return key if shown_parts is partition else partition_key(shown_parts)


def cut_mark(key: str) -> str:
    """Return what ends a key that is cut, 14 characters that end no whole key: `#~` and a digest of the whole."""
    return f"#~{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[: CUT_LENGTH - 2]}"


def unique_partitions(plan: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the partitions of a plan as a list of dicts, after checking that each has a key of its own.

    Two partitions with one key (`{"id": 1}` and `{"id": "1"}`) would overwrite each other's data.

    :param plan: the partitions, in map-index order
    :raises PartitionError: naming both partitions that share a key, or the one that can't have a key
    """
    by_key: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for index, partition in enumerate(ordered("the plan", plan)):
        key = partition_key(partition)
        if key in by_key:
            first_index, first = by_key[key]
            key = hidden_key(key, HIDDEN_NAMES)
            raise PartitionError(
                f"the partitions {shown(dict(first))} (number {first_index}) and {shown(dict(partition))} "
                f"(number {index}) of the plan have the same key {shown(key)}: remove one of them"
            )
        by_key[key] = (index, partition)
    return [dict(partition) for _, partition in by_key.values()]


def _component(name: str, value: Any) -> str:
    check_name(name)
    return f"{escape(name)}={value_key(name, value)}"


# The values of a dimension come again with each of another's: ten years of days, and some.
text_component = lru_cache(maxsize=4096)(_component)


def value_key(name: str, value: Any) -> str:
    """Return one dimension's value as it stands in a key: `value_key("path", "a/b")` gives `a%2Fb`.

    :raises PartitionError: naming the dimension and the value, if it can't be part of a key
    """
    if type(value) is str:
        return value.replace("/", "%2F") if _PLAIN.fullmatch(value) else _text_key(name, value)
    if value is None:
        return DEFAULT_PARTITION
    # The unbound methods: a subclass (an Enum, NumPy's float64) may print itself differently.
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise PartitionError(
                f"dimension {shown(name)} has the value {value}: use None or a number that is finite"
            )
        return float.__repr__(value)
    if not isinstance(value, str):
        raise PartitionError(
            f"dimension {shown(name)} has the value {shown(hide(value, name=name))} of type "
            f"{type(value).__name__}: {_as_text(value)}"
        )
    return _text_key(name, value)


def _as_text(value: Any) -> str:
    if isinstance(value, date):  # a datetime is one
        return f"write it as text, such as {date(value.year, value.month, value.day).isoformat()!r}"
    return "use text, a number, a boolean or None"


def _text_key(name: str, value: str) -> str:
    if value == "":
        raise PartitionError(
            f"dimension {shown(name)} has an empty string as a value: use None for 'no value'"
        )
    if value == DEFAULT_PARTITION:
        raise PartitionError(
            f"dimension {shown(name)} has the value '{DEFAULT_PARTITION}': use None, whose key it is"
        )
    if _SURROGATE.search(value):
        raise PartitionError(
            f"dimension {shown(name)} has the value {shown(hide(value, name=name))} with half a surrogate pair, "
            f"which UTF-8 can't hold: decode the text with the encoding it was written in"
        )
    if _NULL.fullmatch(value):
        return f"%{ord(value[0]):02X}{value[1:]}"
    return escape(value)


def check_name(name: Any) -> None:
    """Check that `name` can name a dimension: text, not empty, that UTF-8 can hold.

    :raises PartitionError: naming what it is instead
    """
    if not isinstance(name, str) or not name or _SURROGATE.search(name):
        raise PartitionError(f"{shown(name)} can't name a dimension: use text such as 'country'")


def escape(text: str) -> str:
    """Return `text` as it stands in a path: `escape("a/b")` gives `a%2Fb`."""
    if isinstance(text, HiddenValue):
        return text
    if type(text) is str and _PLAIN.fullmatch(text):
        return text.replace("/", "%2F")
    return str.translate(text, _ESCAPES)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
