"""Turn what a caller hands over as "a list" into one, and refuse what only looks like it."""

from __future__ import annotations

import ast
import json
import reprlib
from collections.abc import Iterable, Mapping, Set, Sized
from itertools import islice
from typing import Any

from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.partitions.hidden import hide
from airflow_mapping_kit.partitions.limits import MOST_PIECES, TOO_MANY

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 120
_REPR.maxdict = _REPR.maxlist = _REPR.maxtuple = 20


def shown(value: Any) -> str:
    """Return `value` as an error message shows it: its repr, shortened where it is long, passwords as digests.

    `shown("US")` gives `'US'` with its quotes; of 1,000 characters it gives the two ends.
    """
    try:
        return _REPR.repr(hide(value))
    except RecursionError:
        return f"a {type(value).__name__} that holds itself"


def ordered(what: str, values: Any) -> list[Any]:
    """Return `values` as a new list.

    `ordered("dimension 'origin'", ("EWR", "JFK"))` gives `["EWR", "JFK"]`.

    :param what: the name of the values in errors
    :param values: a list, or any iterable with an order of its own
    :raises PartitionError: for text (it would fall apart into characters), a mapping, a set (its order
        differs from process to process: the same inputs would give another plan), and what has no elements
    :raises PlanError: if there are more than 1,000,000
    """
    if isinstance(values, str | bytes | bytearray):
        raise PartitionError(
            f"{what} is the single value {shown(values)}: write it as a list, [{shown(values)}]"
        )
    if isinstance(values, Mapping):
        raise PartitionError(f"{what} is the mapping {shown(values)}: pass a list, such as list(mapping)")
    if isinstance(values, Set):
        raise PartitionError(f"{what} is a set, which has no order: pass sorted(...) of {shown(values)}")
    if values is None:
        raise PartitionError(
            f"{what} is None, not a list: pass a list, or let the task that it comes from return one"
        )
    if not isinstance(values, Iterable):
        raise PartitionError(f"{what} is {shown(values)}, not a list: write [{shown(values)}]")
    return read(what, values)


def read(what: str, values: Iterable[Any]) -> list[Any]:
    """Return the elements of an iterable as a new list, unless there are more than a plan may have.

    Of what tells its length nothing is read before: `range(10**12)` is short to write.

    :param what: the name of the values in errors
    :raises PlanError: if there are more than 1,000,000
    """
    number = _length(values)
    elements = [] if number > MOST_PIECES else list(islice(values, MOST_PIECES + 1))
    if max(number, len(elements)) > MOST_PIECES:
        has = f"has {number:,} elements" if number else f"has over {MOST_PIECES:,} elements"
        raise PlanError(f"{what} {has}, and {TOO_MANY}")
    return elements


def _length(values: Iterable[Any]) -> int:
    if isinstance(values, range):  # its `len()` overflows
        return max(0, -((values.start - values.stop) // values.step))
    return len(values) if isinstance(values, Sized) else 0


def spelled(value: Any) -> Any:
    """Return the list or the dict that text spells, in Python's form or JSON; anything else as it is.

    Unless a DAG renders native objects, `"{{ params.origins }}"` arrives as `"['EWR', 'JFK']"`.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "(", "{")):
        return value
    for form in (json.loads, ast.literal_eval):
        try:
            found = form(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list | tuple | dict):
            return found
    return value
