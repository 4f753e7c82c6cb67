"""A connection to a database, for transactions that are begun again where another one was in the way."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Mapping
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_mapping_kit.compat import AirflowException, BaseHook
from airflow_mapping_kit.exceptions import MappingKitError, QueryError, TargetError
from airflow_mapping_kit.tables.described import near
from airflow_mapping_kit.tables.sql.dialects import dialect_of
from airflow_mapping_kit.tables.sql.names import table_name
from airflow_mapping_kit.tables.sql.refusals import ConflictError, login_refusal, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_mapping_kit.tables.sql.dialects import Dialect
    from airflow_mapping_kit.tables.sql.names import TableName

log = logging.getLogger(__name__)

T = TypeVar("T")
Values = Mapping[str, Any]

# Seconds before a transaction is begun again; by chance half or one and a half of each, so that two don't meet again.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)
# Of a worker that was killed the server would otherwise go on with the query, and hold its locks against the next try.
_NOTICE_DEATH = "SELECT set_config('client_connection_check_interval', '5s', false)"

_NO_TABLE = re.compile(r"does not exist|no such table")


class Session:
    """One connection. Whatever is sent is in a transaction.

    :param connection: of a DB-API driver, not in autocommit mode
    :param dialect: of its database
    :param ended: whether the task is to end: nothing is committed then. On Airflow 3 nothing is raised in a task
    """

    def __init__(self, connection: Any, dialect: Dialect, ended: Callable[[], bool] = lambda: False) -> None:
        self._connection = connection
        self.dialect = dialect
        self._ended = ended

    def value(self, name: str) -> str:
        """Return what stands in SQL for the value of that name."""
        return self.dialect.parameter.format(name)

    def quoted(self, *identifiers: str) -> str:
        """Return names for SQL, with commas between them."""
        return ", ".join(map(self.dialect.quoted, identifiers))

    def run(
        self, what: str, sql: str, values: Values | None = None, kind: type[MappingKitError] = QueryError
    ) -> int:
        """Run a statement and return how many rows it touched.

        :param what: what it does, for errors
        :param kind: what a refusal that would come again is
        """
        with self._cursor(what, sql, values, kind) as cursor:
            return int(cursor.rowcount)

    def rows(
        self, what: str, sql: str, values: Values | None = None, kind: type[MappingKitError] = QueryError
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._cursor(what, sql, values, kind) as cursor:
            # A connection may say that its rows are dicts.
            return [
                tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in cursor.fetchall()
            ]

    def columns(
        self, what: str, source: str, values: Values | None = None, kind: type[MappingKitError] = QueryError
    ) -> list[tuple[str, Any]]:
        """Return the columns of a table or a query, and the driver's numbers of their types. It reads no row."""
        none = f"SELECT * FROM {source} WHERE 1 = 0"
        with self._cursor(what, none, values, kind) as cursor:
            found = [(column[0], column[1]) for column in cursor.description]
            cursor.fetchall()
            return found

    def fill(self, what: str, sql: str, rows: list[dict[str, Any]]) -> None:
        """Run a statement once for each of some values."""
        with closing(self._connection.cursor()) as cursor:
            try:
                cursor.executemany(sql, rows)
            except Exception as error:
                raise refusal(error, what) from error

    def in_transaction(self, work: Callable[[], T], *, is_ddl: bool = False) -> T:
        """Return what some work returns, when it is committed; begin it again where another transaction was in the way.

        :param is_ddl: whether it makes or drops tables, which some databases commit by themselves
        :raises ConflictError: if one still is after half a minute
        """
        for pause in _PAUSES:
            try:
                return self._transaction(work, is_ddl=is_ddl)
            except ConflictError as error:  # noqa: PERF203  few, and far between
                log.info("The transaction is repeated. %s", error)
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  no secret
        return self._transaction(work, is_ddl=is_ddl)

    def _transaction(self, work: Callable[[], T], *, is_ddl: bool) -> T:
        try:
            self._go_on()
            if self.dialect.keeps_ddl or not is_ddl:
                self._begin()
            done = work()
            self._go_on()
            self._commit()
        except BaseException:
            # Where the line is dead the server has done it.
            with suppress(Exception):
                self._connection.rollback()
            raise
        return done

    def _go_on(self) -> None:
        if self._ended():
            raise AirflowException("the task was told to end: it commits nothing more")

    def _begin(self) -> None:
        if self.dialect.begin:
            self.run("a transaction", self.dialect.begin)
        if self.dialect.is_postgres and self.rows("a transaction", "SHOW transaction_isolation") == [
            ("repeatable read",)
        ]:
            # It would see an empty partition as it was before another writer filled it, and not be told.
            self.run("a transaction", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")

    def _commit(self) -> None:
        try:
            self._connection.commit()
        except Exception as error:
            raise refusal(error, "COMMIT", TargetError) from error

    @contextmanager
    def _cursor(
        self, what: str, sql: str, values: Values | None, kind: type[MappingKitError]
    ) -> Iterator[Any]:
        with closing(self._connection.cursor()) as cursor:
            try:
                # Without values a driver takes %% for two signs: all statements are to be read alike.
                cursor.execute(sql, dict(values or {"mapping_kit": None}))
                yield cursor
            except Exception as error:
                raise refusal(error, what, kind) from error


@contextmanager
def connected(conn_id: str, ended: Callable[[], bool] = lambda: False) -> Iterator[Session]:
    """Give a session with the database of an Airflow connection.

    :raises QueryError: if it is no database that the kit knows
    :raises TargetError: if the database refuses the login
    :raises AirflowException: if it can't be reached
    """
    connection: Any = BaseHook.get_connection(conn_id)
    dialect = dialect_of(conn_id, connection.conn_type)
    hook: Any = connection.get_hook()
    try:
        opened = hook.get_conn()
    except Exception as error:
        raise login_refusal(error, conn_id) from error
    with closing(opened):
        if dialect.is_postgres:
            # Older servers, and some systems, don't have it.
            with suppress(Exception):
                with closing(opened.cursor()) as cursor:
                    cursor.execute(_NOTICE_DEATH)
                opened.commit()
            opened.rollback()
        yield Session(opened, dialect, ended)


def existing(session: Session, text: str) -> tuple[TableName, dict[str, Any]]:
    """Return a table's name for SQL, and its columns, as the table spells them, with the numbers of their types.

    :raises TargetError: if there is no such table, with names that are near
    """
    name = table_name(text, session.dialect)
    try:
        columns = session.in_transaction(
            lambda: session.columns(f"the table {text}", str(name), kind=TargetError)
        )
    except TargetError as error:
        # The line that PostgreSQL points at is of a statement of the kit's.
        said = str(error).partition("\nLINE 1: ")[0]
        if not _NO_TABLE.search(said):
            raise
        raise TargetError(f"{said}{_near(session, name)}: create it, or correct its name") from error
    return name, dict(columns)


def _near(session: Session, name: TableName) -> str:
    try:
        rows = session.in_transaction(lambda: session.rows("the names of tables", session.dialect.tables))
    except (AirflowException, MappingKitError):
        return ""
    return near(name.parts[-1], (str(table) for (table,) in rows))
