"""Many partitions of a table replaced in one transaction, by what instances left in the run's staging table."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from airflow_mapping_kit.exceptions import QueryError, TargetError
from airflow_mapping_kit.tables.described import home
from airflow_mapping_kit.tables.sql.own_tables import PIECE, make_published, published_table, staging_table
from airflow_mapping_kit.tables.sql.rows import columns_of
from airflow_mapping_kit.tables.sql.session import connected, existing
from airflow_mapping_kit.tables.sql.todo import OWN, drop, fill, make
from airflow_mapping_kit.tables.staged import marker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.tables.described import Table
    from airflow_mapping_kit.tables.formats import Published
    from airflow_mapping_kit.tables.sql.names import TableName
    from airflow_mapping_kit.tables.sql.session import Session
    from airflow_mapping_kit.tables.staged import Staged

_MOST_NAMED = 5
# A run that is older has no piece left in the staging table, so nothing of it could be published again.
_KEPT_FOR = timedelta(days=90)


class _Names(NamedTuple):
    """The tables that a publish has to do with. `todo` is its own: two tries of one run may be at work at once."""

    table: TableName
    staging: TableName
    todo: TableName
    published: TableName


def publish(table: Table, pieces: Sequence[Staged], run: str) -> Published:
    """Replace exactly these partitions by what was staged for them, in one transaction; all others stay.

    What is published already is left alone. In PostgreSQL nobody else can write into the table meanwhile.

    :raises TargetError: naming the partitions whose rows aren't in the staging table, or what the table refuses
    """
    with connected(str(table["conn_id"])) as session:
        name, actual = existing(session, table["name"])
        names = _Names(
            name,
            staging_table(name, run),
            staging_table(name, uuid.uuid4().hex, "_todo"),
            published_table(name),
        )
        homes = {dimension: home(table, dimension).column for dimension in pieces[0]["partition"]}
        columns = columns_of(pieces[0]["partition"], actual, table["name"], homes)
        make_published(session, names.published)
        # Where it can be a part of the transaction, a kill leaves none of it.
        own_transaction = not session.dialect.keeps_ddl
        if own_transaction:
            session.in_transaction(lambda: make(session, names.todo, name, columns), is_ddl=True)
        try:
            replaced = session.in_transaction(lambda: _replace(session, names, columns, pieces))
        finally:
            if own_transaction:
                with suppress(Exception):
                    session.in_transaction(lambda: drop(session, names.todo), is_ddl=True)
        left_over = _tidy(session, names)
    return {  # type: ignore[typeddict-unknown-key]
        "snapshot": marker(run, pieces),
        "rows": sum(piece["rows"] for piece in pieces),
        "replaced_files": None,
        "replaced_rows": replaced,
        "left_over": left_over,
    }


def _replace(session: Session, names: _Names, columns: Mapping[str, str], pieces: Sequence[Staged]) -> int:
    """Replace the partitions of all pieces that aren't published, and return how many rows they had."""
    what, piece = f"the table {names.table}", session.quoted(PIECE)
    if session.dialect.is_postgres:
        # Before anything is read: what is seen afterwards has the rows of whoever wrote until then.
        session.run(what, f"LOCK TABLE {names.table} IN SHARE ROW EXCLUSIVE MODE", kind=TargetError)
    if session.dialect.keeps_ddl:
        make(session, names.todo, names.table, columns)
    fill(session, names.todo, str(names.table), columns, pieces)
    known = f"SELECT {piece} FROM {names.published}"
    session.run(what, f"DELETE FROM {names.todo} WHERE {piece} IN ({known})")
    left = {str(one) for (one,) in session.rows(what, f"SELECT {piece} FROM {names.todo}")}
    wanted = [one for one in pieces if one["path"] in left]
    with_rows = [one for one in wanted if one["rows"]]
    found = _found(session, names, with_rows)
    before = 0
    for nulls in {frozenset(n for n, value in one["partition"].items() if value is None) for one in wanted}:
        before += session.run(what, _delete(session, names, columns, nulls), kind=TargetError)
    if with_rows:
        into = session.quoted(*with_rows[0]["columns"])  # type: ignore[typeddict-item]
        insert = (
            f"INSERT INTO {names.table} ({into}) SELECT {into} FROM {names.staging} "
            f"WHERE {piece} IN (SELECT {piece} FROM {names.todo})"
        )
        number = session.run(what, insert, kind=TargetError)
        if number != found:
            raise TargetError(
                f"{what} took {number:,} of {found:,} rows: look for triggers and rules that drop some"
            )
    now = session.value("mapping_kit_now")
    session.run(
        what,
        f'INSERT INTO {names.published} ({piece}, "published_at") SELECT {piece}, CAST({now} AS VARCHAR) '
        f"FROM {names.todo}",
        {"mapping_kit_now": _ago(timedelta())},
    )
    if session.dialect.keeps_ddl:
        drop(session, names.todo)
    return before


def _found(session: Session, names: _Names, pieces: Sequence[Staged]) -> int:
    """Return how many rows instances staged of some pieces: all are there, with the same columns."""
    if not pieces:
        return 0
    piece = session.quoted(PIECE)
    counted = (
        f"SELECT {piece}, COUNT(*) FROM {names.staging} WHERE {piece} IN (SELECT {piece} FROM {names.todo}) "
        f"GROUP BY {piece}"
    )
    try:
        found = {str(one): int(number) for one, number in session.rows(f"the table {names.staging}", counted)}
    except QueryError:
        found = {}  # Somebody has dropped it.
    lost = [one["key"] for one in pieces if found.get(str(one["path"])) != one["rows"]]
    if lost:
        more = f" and {len(lost) - _MOST_NAMED:,} more" if len(lost) > _MOST_NAMED else ""
        raise TargetError(
            f"what was staged of {', '.join(lost[:_MOST_NAMED])}{more} isn't in {names.staging} any more, so nothing "
            f"is published: clear these instances, and this task with them"
        )
    if len({tuple(one["columns"]) for one in pieces}) > 1:  # type: ignore[typeddict-item]
        raise TargetError(
            f"the instances staged rows with different columns for {names.table}: their query has changed in between. "
            f"Clear all of them, and this task with them"
        )
    return sum(found.values())


def _delete(session: Session, names: _Names, columns: Mapping[str, str], nulls: frozenset[str]) -> str:
    """Return what deletes the partitions whose dimensions are `NULL` in just these: `=` finds no `NULL`."""
    outside, inside = [], []
    for number, (name, column) in enumerate(columns.items()):
        own = session.quoted(OWN.format(number))
        if name in nulls:
            outside.append(f"{session.quoted(column)} IS NULL")
            inside.append(f"{own} IS NULL")
        else:
            inside.append(f"{own} = {session.quoted(column)}")
    return (
        f"DELETE FROM {names.table} WHERE "
        + "".join(f"{one} AND " for one in outside)
        + f"EXISTS (SELECT 1 FROM {names.todo} WHERE {' AND '.join(inside)})"
    )


def _tidy(session: Session, names: _Names) -> int:
    """Remove what nobody needs after the commit, and return how many tries had staged in vain."""
    what, piece, old = f"the table {names.staging}", session.quoted(PIECE), session.value("mapping_kit_old")

    def forget() -> None:
        forgotten = f'DELETE FROM {names.published} WHERE "published_at" < {old}'
        session.run(what, forgotten, {"mapping_kit_old": _ago(_KEPT_FOR)})

    def count() -> int:
        known = f"SELECT {piece} FROM {names.published}"
        in_vain = f"SELECT COUNT(DISTINCT {piece}) FROM {names.staging} WHERE {piece} NOT IN ({known})"
        ((number,),) = session.rows(what, in_vain)
        return int(number)

    session.in_transaction(forget)
    left_over = 0
    with suppress(QueryError):  # Nothing was staged, or another try has removed it.
        left_over = session.in_transaction(count)
    session.in_transaction(lambda: drop(session, names.staging), is_ddl=True)
    return left_over


def _ago(duration: timedelta) -> str:
    return (datetime.now(timezone.utc) - duration).isoformat(timespec="seconds")
