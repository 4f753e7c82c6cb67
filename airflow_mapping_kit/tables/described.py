"""What a table is to tasks: where its files go, its columns, and where each dimension of a plan lives. Plain JSON."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from airflow_mapping_kit.exceptions import PartitionError, TargetError
from airflow_mapping_kit.partitions.periods import EXAMPLES, parse_period
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# What tells a table from any other dict, and which format publishes it.
KIND = "mapping_kit_table"
# How a table can know a period of time by a column of moments.
TRANSFORMS = ("year", "month", "day", "hour")
_HOME = re.compile(r"(\w+)\(\s*(.+?)\s*\)")
# What of a moment each transform keeps.
_BEGINS = {
    "year": "%Y-01-01T00:00:00",
    "month": "%Y-%m-01T00:00:00",
    "day": "%Y-%m-%dT00:00:00",
    "hour": "%Y-%m-%dT%H:00:00",
}


class Home(NamedTuple):
    """Where a dimension lives: in a column, or in the periods of one."""

    column: str
    transform: str | None


class Column(TypedDict, total=False):
    """A column of a table.

    :param name: as the table has it.
    :param type: as DuckDB writes it, nested ones too.
    :param required: whether it may not be `NULL`.
    :param id: what DuckDB's `FIELD_IDS` takes, where the table knows columns by numbers.
    """

    name: str
    type: str
    required: bool
    id: Any


class Table(TypedDict, total=False):
    """A table, as the task that looked it up returns it. Formats keep more in it.

    :param mapping_kit_table: which format publishes it.
    :param name: as users say it.
    :param conn_id: the Airflow connection of its catalog, if it has one.
    :param aws_conn_id: the Airflow connection for its files in S3, where it was given with the table.
    :param location: the folder below which instances stage, without a slash at its end.
    :param columns: in their order.
    :param dimensions: those whose home was given, `{"column": ..., "transform": ...}`.
    :param hive: the columns that the table is partitioned by, if it takes their values from the directories of a file.
    """

    mapping_kit_table: str
    name: str
    conn_id: str | None
    aws_conn_id: str | None
    location: str
    columns: list[Column]
    dimensions: dict[str, dict[str, str | None]]
    hive: list[str]


def table_of(value: Any) -> Table | None:
    """Return a value as a table, `None` of anything else, such as the path of a directory.

    :raises TargetError: if a template has made text of a table
    """
    if isinstance(value, str) and KIND in value:
        raise TargetError(
            "The table came as text, by a template: pass the output of iceberg_table(...), delta_table(...), "
            "ducklake_table(...) or sql_table(...) itself"
        )
    return value if isinstance(value, Mapping) and KIND in value else None  # type: ignore[return-value]


def homes_of(dimensions: Mapping[str, str] | None) -> dict[str, Home]:
    """Return where dimensions live, as a DAG's author says it.

    `{"date": "day(departed_at)", "origin": "origin"}` gives `{"date": Home("departed_at", "day"), "origin":
    Home("origin", None)}`.

    :raises TargetError: naming what can't be one
    """
    if dimensions is None:
        return {}
    if not isinstance(dimensions, Mapping):
        raise TargetError(
            f"dimensions={shown(dimensions)}: write a dict of dimension to column, {{'date': 'day(departed_at)'}}"
        )
    return {name: _home(name, said) for name, said in dimensions.items()}


def _home(name: Any, said: Any) -> Home:
    if not isinstance(name, str) or not isinstance(said, str) or not said.strip():
        raise TargetError(
            f"dimensions: {shown(name)}: {shown(said)} says no column: write its name, or such as 'day(departed_at)'"
        )
    match = _HOME.fullmatch(said.strip())
    if match is None:
        return Home(said.strip(), None)
    transform, column = match[1].lower(), match[2]
    if transform not in TRANSFORMS:
        raise TargetError(
            f"the dimension {name!r} lives in {said!r}, and the kit knows no partitions by {match[1]}()"
            f"{near(match[1], TRANSFORMS)}: write a column, or {', '.join(f'{one}(column)' for one in TRANSFORMS)}"
        )
    return Home(column, transform)


def with_planned(homes: Mapping[str, Home], planned: Collection[str]) -> dict[str, Home]:
    """Return where the dimensions of a plan live: those of which nothing was said in the column of their name.

    :param planned: the plan's dimensions; none if they aren't known.
    :raises TargetError: if something was said of one that the plan hasn't
    """
    for name in homes:
        if planned and name not in planned:
            raise TargetError(
                f"dimensions: the plan has no dimension {name!r}{near(name, planned)}: it has "
                f"{', '.join(sorted(planned))}"
            )
    return {**{name: Home(name, None) for name in sorted(planned)}, **homes}


def home(table: Table, dimension: str) -> Home:
    """Return where a dimension lives: where it was said, else in the column of its name."""
    given = table.get("dimensions", {}).get(dimension)
    return Home(dimension, None) if given is None else Home(str(given["column"]), given["transform"])


def column_of(table: Table, dimension: str) -> Column:
    """Return the column that a dimension lives in. Names are the same, upper or lower case.

    :raises TargetError: if the table has none such, with those whose names are near
    """
    wanted = home(table, dimension).column
    for column in table["columns"]:
        if column["name"].lower() == wanted.lower():
            return column
    names = [column["name"] for column in table["columns"]]
    raise TargetError(
        f"the dimension {dimension!r} has no column {wanted!r} in the table {table['name']}{near(wanted, names)}: say "
        f"where it lives, dimensions={{{dimension!r}: 'a_column'}} or {{{dimension!r}: 'day(a_column)'}}. The table "
        f"has {', '.join(names)}"
    )


def check_names(table: Table) -> None:
    """Check that columns have different names, upper or lower case: DuckDB knows no other difference.

    :raises TargetError: naming two that haven't
    """
    seen: dict[str, str] = {}
    for column in table["columns"]:
        other = seen.setdefault(column["name"].lower(), column["name"])
        if other != column["name"]:
            raise TargetError(
                f"The table {table['name']} has the columns {other!r} and {column['name']!r}, which are one to DuckDB: "
                f"rename one"
            )


def period_begin(transform: str, value: Any) -> datetime:
    """Return when a period begins, in UTC without saying so, as tables count periods.

    `period_begin("day", "2013-01-01")` gives `datetime(2013, 1, 1)`, as `period_begin("month", "2013-01")` does.

    :raises PartitionError: if the value is none of a period, or begins within one
    """
    period = parse_period(value) if isinstance(value, str) else None
    if period is not None and period.every in TRANSFORMS:
        begin = period.start - (period.offset or timedelta())
        is_finer = TRANSFORMS.index(period.every) >= TRANSFORMS.index(transform)
        if is_finer and begin == datetime.fromisoformat(begin.strftime(_BEGINS[transform])):
            return begin
    raise PartitionError(
        f"{shown(value)} is no {transform} as the table counts them, by the clock of UTC: write it as "
        f"{EXAMPLES[transform]!r}"
    )


def near(name: str, names: Iterable[str]) -> str:
    """Return what to say of names that are like one that isn't there: ` (near: 'flights')`; nothing if none is."""
    folded = {one.lower(): one for one in names}
    found = difflib.get_close_matches(name.lower(), folded, n=3)
    return f" (near: {', '.join(repr(folded[one]) for one in found)})" if found else ""
