"""The pieces that a publish is about, in a table of its own: a database compares them by the types of the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.sql.own_tables import PIECE, PIECE_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.tables.sql.names import TableName
    from airflow_mapping_kit.tables.sql.session import Session
    from airflow_mapping_kit.tables.staged import Staged

# What its columns are called: one for each dimension, by its number.
OWN = "mapping_kit_{}"


def make(session: Session, todo: TableName, table: TableName, columns: Mapping[str, str]) -> None:
    """Make the table, its dimensions of the types that they have in the real one.

    Values that are compared as they come would be compared as text, or one by one.

    :param columns: which column of the real one each dimension is
    """
    typed = ", ".join(
        f"{session.quoted(column)} AS {session.quoted(OWN.format(number))}"
        for number, column in enumerate(columns.values())
    )
    statement = (
        f"CREATE {session.dialect.staging} {todo} AS "
        f"SELECT {typed}, CAST('' AS {PIECE_TYPE}) AS {session.quoted(PIECE)} FROM {table} WHERE 1 = 0"
    )
    session.run(f"the table {todo}", statement, kind=TargetError)


def fill(
    session: Session, todo: TableName, table: str, columns: Mapping[str, str], pieces: Sequence[Staged]
) -> None:
    """Put the pieces into the table.

    :param table: the name of the real one, for errors
    :raises TargetError: if two are the same partition of it, by its types: 1.5 and 1.50. It would have the rows of both
    """
    own = {dimension: OWN.format(number) for number, dimension in enumerate(columns)}
    into = session.quoted(*own.values(), PIECE)
    values = ", ".join(map(session.value, [*own.values(), PIECE]))
    rows = [
        {**{own[name]: value for name, value in piece["partition"].items()}, PIECE: piece["path"]}
        for piece in pieces
    ]
    session.fill(f"the table {todo}", f"INSERT INTO {todo} ({into}) VALUES ({values})", rows)
    piece = session.quoted(PIECE)
    same = (
        f"SELECT MIN({piece}), MAX({piece}) FROM {todo} GROUP BY {session.quoted(*own.values())} "
        f"HAVING COUNT(*) > 1"
    )
    keys = {str(one["path"]): one["key"] for one in pieces}
    for pair in session.rows(f"the table {todo}", same):
        told = " and ".join(sorted(keys[str(one)] for one in pair))
        raise TargetError(
            f"the partitions {told} are the same one of the table {table}: map over each partition once"
        )


def drop(session: Session, name: TableName) -> None:
    """Drop a table, if it is there."""
    session.run(f"the table {name}", f"DROP TABLE IF EXISTS {name}")
