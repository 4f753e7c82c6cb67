"""One `SELECT` over one partition, with its parameters as the database's driver has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.partitions.parameters import PeriodOf
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.tables.sql.dialects import NAMED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_mapping_kit.tables.sql.dialects import Dialect

# What no statement ends in, and no named parameter begins in.
_PASSED_OVER = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|::"
_END = re.compile(rf"{_PASSED_OVER}|(;)", re.DOTALL)
_NAMED = re.compile(rf"{_PASSED_OVER}|:([A-Za-z_]\w*)", re.DOTALL)
_NOTHING = re.compile(r"(?:\s|;|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
# The drivers read these everywhere, in strings and comments too.
_PYFORMAT = re.compile(r"%(?:%|\(([^()]*)\)s)?")


class Query:
    """One `SELECT` whose parameters are a partition's dimensions, and values that all partitions share.

    :param sql: its text; a parameter is `%(date)s` or `:date`, as the driver has it
    :param dialect: the database's
    :param shared: parameters that are no dimensions, and their values
    :param unused: dimensions that the query need not use
    :param period: which dimension the period is whose bounds `start` and `end` are
    :raises QueryError: if the text can't be one `SELECT`, or its parameters can't be read
    """

    def __init__(
        self,
        sql: str,
        dialect: Dialect,
        shared: Mapping[str, Any] | None = None,
        unused: Collection[str] = (),
        period: PeriodOf = PeriodOf(),  # noqa: B008  it can't change
    ) -> None:
        self.text = _one_statement(sql)
        self._written = dialect.parameter
        self._period = period
        self._shared = dict(shared or {})
        self._unused = frozenset(unused)
        self._parameters = sorted(_parameters(self.text, dialect))

    def bind(self, key: str, partition: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the query's parameters, without running anything.

        :param key: of the partition, for errors
        :raises QueryError: if the partition lacks one, or the query forgets a dimension
        """
        if both := sorted(self._shared.keys() & partition.keys()):
            raise QueryError(
                f"partition {key}: {both[0]!r} is a dimension and among the parameters, too: rename one"
            )
        values = {**self._shared, **partition}
        bounds = self._period.bounds(key, partition, self._parameters, values)
        for name, moment in bounds.items():
            # SQLite has no type for moments: they are text, as its own functions write it.
            values[name] = f"{moment:%Y-%m-%d %H:%M:%S}" if self._written == NAMED else moment
        for name in self._parameters:
            if name not in values:
                raise QueryError(
                    f"partition {key}: the query asks for {self._written.format(name)}, which is none of its "
                    f"dimensions ({_listed(partition)}): use one of these, or add it to the partition or to parameters"
                )
        for name in sorted(partition):
            used = name in self._parameters or (bounds and name == self._period.dimension)
            if not used and name not in self._unused:
                raise QueryError(
                    f"partition {key}: the query doesn't use the dimension {name!r}, so each of its values would get "
                    f"the same rows: use {self._written.format(name)} in WHERE, or list it in unused=[{name!r}]"
                )
        return {name: values[name] for name in self._parameters}


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _one_statement(sql: Any) -> str:
    """Return the query without the semicolon that ends it, so that it can stand in parentheses."""
    if not isinstance(sql, str) or _NOTHING.fullmatch(sql):
        raise QueryError(f"the query has to be exactly one SELECT, not {shown(sql)}")
    for found in _END.finditer(sql):
        if found[2]:
            if not _NOTHING.fullmatch(sql, found.end()):
                raise QueryError(
                    f"the query has to be exactly one SELECT, and this goes on after it: {shown(sql)}"
                )
            return sql[: found.start()]
    return sql


def _parameters(sql: str, dialect: Dialect) -> set[str]:
    if dialect.parameter == NAMED:
        return {found[2] for found in _NAMED.finditer(sql) if found[2]}
    names = set()
    for found in _PYFORMAT.finditer(sql):
        if found[1]:
            names.add(found[1])
        elif found[0] != "%%":
            raise QueryError(
                f"the query has a % in {shown(sql[found.start() :][:24])} that is no parameter of its database's "
                f"driver: write a parameter %(name)s, and a percent sign %%"
            )
    return names
