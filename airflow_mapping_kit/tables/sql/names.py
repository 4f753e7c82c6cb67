"""Names of tables: what a DAG says is read as a name, so that nothing else becomes part of the SQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from airflow_mapping_kit.tables.sql.dialects import Dialect

_PART = re.compile(r'"((?:[^"]|"")+)"|([^\W\d][\w$]*)')
# database, schema, table
_MOST_PARTS = 3


class TableName(NamedTuple):
    """A table by the parts of its name, in the spelling that its database stores."""

    parts: tuple[str, ...]
    dialect: Dialect

    def __str__(self) -> str:
        """Return the name for SQL: `"public"."flights"`."""
        return ".".join(map(self.dialect.quoted, self.parts))

    def beside(self, name: str) -> TableName:
        """Return another table of the same schema."""
        return self._replace(parts=(*self.parts[:-1], self.dialect.fold(name)))


def table_name(text: Any, dialect: Dialect) -> TableName:
    """Return the table that a text names as SQL does: in PostgreSQL `Public."Flights"` is `"public"."Flights"`.

    :raises TargetError: if the text is no such name
    """
    parts: list[str] = []
    position = 0
    while isinstance(text, str) and (found := _PART.match(text, position)):
        parts.append(found[1].replace('""', '"') if found[1] is not None else dialect.fold(found[2]))
        position = found.end()
        if position == len(text) and len(parts) <= _MOST_PARTS:
            return TableName(tuple(parts), dialect)
        if text[position : position + 1] != ".":
            break
        position += 1
    raise TargetError(
        f'table={shown(text)} is no name of a table: write "flights", "public.flights" or \'public."My flights"\''
    )
