"""Failed pieces as an error says them: which ones, why, and what they have in common."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions import parse_partition_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mapping_kit.results import ItemResult, Result

MAX_KEYS = 20
_MAX_VALUES = 3
_MAX_MESSAGE = 200


def described(failed: Sequence[Result] | Sequence[ItemResult]) -> str:
    """Return the failed pieces, grouped by error: a line an error, then its keys, 20 keys in all.

    Two flights of a day that failed with one error give::

        2 × ValueError: no such file (date: 2013-01-01 2)
          date=2013-01-01/origin=EWR
          date=2013-01-01/origin=JFK
    """
    by_error: dict[str, list[str]] = defaultdict(list)
    for result in failed:
        by_error[_error(result)].append(result["key"])
    lines, named = [], 0
    for error, keys in sorted(by_error.items(), key=lambda group: -len(group[1])):
        shared = _dimensions(keys)
        lines.append(f"{len(keys):,} × {error}" + (f" ({shared})" if shared else ""))
        shown = keys[: max(MAX_KEYS - named, 0)]
        lines += [f"  {key}" for key in shown]
        named += len(shown)
    if len(failed) > named:
        lines.append(f"and {len(failed) - named:,} more")
    return "\n".join(lines)


def _error(result: Result | ItemResult) -> str:
    if result["error"] is None:
        return result["state"].replace("_", " ")
    first = (result["error"]["message"].strip().splitlines() or [""])[0]
    message = first if len(first) <= _MAX_MESSAGE else f"{first[:_MAX_MESSAGE]}…"
    return ": ".join(part for part in (result["error"]["type"], message) if part)


def _dimensions(keys: Iterable[str]) -> str:
    """Return what several of the keys have in common: the dimensions in which a value occurs more than once."""
    values: dict[str, Counter[str]] = defaultdict(Counter)
    for key in keys:
        try:
            partition = parse_partition_key(key.partition("#")[0])
        except PartitionError:
            return ""
        for name, value in partition.items():
            values[name][str(value)] += 1
    return "; ".join(
        f"{name}: {_spread(counter)}" for name, counter in values.items() if max(counter.values()) > 1
    )


def _spread(counter: Counter[str]) -> str:
    shown = ", ".join(f"{value} {count:,}" for value, count in counter.most_common(_MAX_VALUES))
    rest = len(counter) - _MAX_VALUES
    return f"{shown} and {rest:,} other values" if rest > 0 else shown
