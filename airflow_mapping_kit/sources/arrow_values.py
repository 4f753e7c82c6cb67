"""Columns of Arrow as lists of plain JSON: only dates, times, decimals and UUIDs change, all into text."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LEAVE_OUT = "or leave it out with columns=[...]."


class NoJsonError(Exception):
    """A value that JSON doesn't have."""


def check_type(of: Any, where: str) -> None:
    """Check that values of a type can be JSON.

    :param of: an Arrow type
    :param where: the file and the column, for the error
    :raises SourceError: if they can't: bytes, and types that only Arrow has
    """
    import pyarrow as pa

    of = _stored(of)
    if pa.types.is_struct(of):
        for field in of:
            check_type(field.type, where)
    elif pa.types.is_map(of):
        check_type(of.key_type, where)
        check_type(of.item_type, where)
    elif _is_list(of):
        check_type(of.value_type, where)
    elif not _is_scalar(of):
        raise SourceError(
            f"{where} is of the type {of}, which JSON doesn't have: write it as text, {_LEAVE_OUT}"
        )


def values_of(array: Any) -> list[Any]:
    """Return the values of a column as plain JSON.

    | Parquet | JSON |
    |---|---|
    | text, integers, truth values, null | themselves |
    | floating point numbers | themselves; NaN and infinity are an error |
    | decimals, UUIDs | text, `"1.10"` |
    | dates, times, timestamps | ISO 8601, `"2024-01-31T06:00:00+00:00"`; with an offset where the column has a zone |
    | durations | seconds |
    | lists, structs | lists, objects |
    | maps | objects where the keys are text, else lists of pairs |

    :raises NoJsonError: with the reason, if a value can't be JSON
    :raises ValueError, OverflowError: for a date before the year 1, or text that isn't UTF-8
    """
    import pyarrow as pa

    of = array.type
    if isinstance(of, pa.BaseExtensionType):
        if of.extension_name == "arrow.uuid":
            return _each(str, array.to_pylist())
        return values_of(array.storage)
    for matches, form in _FORMS:
        if any(getattr(pa.types, name)(of) for name in matches):
            return form(array)
    return list(array.to_pylist())


def _stored(of: Any) -> Any:
    import pyarrow as pa

    if isinstance(of, pa.BaseExtensionType):
        return pa.string() if of.extension_name == "arrow.uuid" else _stored(of.storage_type)
    return _stored(of.value_type) if pa.types.is_dictionary(of) else of


def _is_scalar(of: Any) -> bool:
    import pyarrow as pa

    named = "boolean integer floating string large_string decimal date time timestamp duration null".split()
    return any(getattr(pa.types, f"is_{name}")(of) for name in named)


def _is_list(of: Any) -> bool:
    import pyarrow as pa

    return any(getattr(pa.types, f"is_{name}")(of) for name in ("list", "large_list", "fixed_size_list"))


def _each(form: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    return [None if value is None else form(value) for value in values]


def _text(array: Any) -> list[Any]:
    import pyarrow.compute as pc

    if pc.any(pc.match_substring(array, "\0")).as_py():
        raise NoJsonError(
            f"contains the character NUL, which PostgreSQL can't store in an XCom: write it without, {_LEAVE_OUT}"
        )
    return list(array.to_pylist())


def _numbers(array: Any) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = array.cast(pa.float64())
    if not pc.all(pc.is_finite(array)).as_py() and len(array) > array.null_count:
        raise NoJsonError(f"contains NaN or infinity, which JSON doesn't have: write null, {_LEAVE_OUT}")
    return list(array.to_pylist())


def _moments(array: Any) -> list[Any]:
    import pyarrow as pa

    if array.type.unit != "ns":
        return _each(datetime.isoformat, array.to_pylist())
    # Python's moments have microseconds, and pandas' are not to be loaded for it.
    counts = array.cast(pa.int64())
    whole = array.cast(pa.timestamp("us", array.type.tz), safe=False).to_pylist()
    return [
        None if moment is None else _with_nanoseconds(moment, count)
        for moment, count in zip(whole, counts.to_pylist(), strict=True)
    ]


def _with_nanoseconds(moment: datetime, count: int) -> str:
    beyond = count % 1_000
    if not beyond:
        return moment.isoformat()
    # What was cut off was cut off towards 1970.
    text = (moment - timedelta(microseconds=count < 0)).isoformat(timespec="microseconds")
    return f"{text[:26]}{beyond:03}{text[26:]}"


def _times(array: Any) -> list[Any]:
    import pyarrow as pa

    return _each(lambda time: time.isoformat(), array.cast(pa.time64("us")).to_pylist())


def _durations(array: Any) -> list[Any]:
    import pyarrow as pa

    seconds = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
    return _each(lambda count: count / seconds, array.cast(pa.int64()).to_pylist())


def _lists(array: Any) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    return _cut(array, array.values)


def _maps(array: Any) -> list[Any]:
    import pyarrow as pa

    by_text = pa.types.is_string(_stored(array.type.key_type))
    lists = zip(_cut(array, array.keys), _cut(array, array.items), strict=True)
    return [
        None if keys is None else _map(zip(keys, values, strict=True), by_text=by_text)
        for keys, values in lists
    ]


def _map(pairs: Iterable[tuple[Any, Any]], *, by_text: bool) -> Any:
    return dict(pairs) if by_text else [list(pair) for pair in pairs]


def _cut(array: Any, elements: Any) -> list[Any]:
    """Return the elements of each list; those of other lists than the ones of `array` may be among them."""
    if not len(array):
        return []
    ends = array.offsets.to_pylist()
    values = values_of(elements.slice(ends[0], ends[-1] - ends[0]))
    there = array.is_valid().to_pylist()
    return [
        values[ends[n] - ends[0] : ends[n + 1] - ends[0]] if there[n] else None for n in range(len(array))
    ]


def _structs(array: Any) -> list[Any]:
    names = [field.name for field in array.type]
    rows = zip(*map(values_of, array.flatten()), strict=True) if names else [()] * len(array)
    there = array.is_valid().to_pylist()
    return [
        dict(zip(names, values, strict=True)) if valid else None
        for values, valid in zip(rows, there, strict=True)
    ]


_FORMS: tuple[tuple[tuple[str, ...], Callable[[Any], list[Any]]], ...] = (
    (("is_string", "is_large_string"), _text),
    (("is_floating",), _numbers),
    (("is_decimal",), lambda array: _each(str, array.to_pylist())),
    (("is_date",), lambda array: _each(lambda date: date.isoformat(), array.to_pylist())),
    (("is_timestamp",), _moments),
    (("is_time",), _times),
    (("is_duration",), _durations),
    (("is_dictionary",), lambda array: values_of(array.dictionary_decode())),
    (("is_map",), _maps),
    (("is_list", "is_large_list", "is_fixed_size_list"), _lists),
    (("is_struct",), _structs),
)
