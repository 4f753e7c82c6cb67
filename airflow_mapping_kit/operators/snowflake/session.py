"""A session with Snowflake that ends with its task: what runs in it is cancelled, and nothing more is sent."""

from __future__ import annotations

import logging
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException, redacted
from airflow_mapping_kit.failures import traceback_of
from airflow_mapping_kit.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

# Airflow 2 gives a task 60 s to end, Airflow 3 kills it after 5 s.
_CANCEL_SECONDS = 30

_log = logging.getLogger(__name__)


class Session:
    """One session, open within `with`.

    To close a session is not enough to end what runs in it: Snowflake lets a query go on. So it is cancelled,
    by `cancel` and where the block is left by what is no error, such as a time-out or the task's end.

    :param connect: opens a connection; called once more, in a thread, to cancel what runs in the first.
    :param ended: whether the task is to end. On Airflow 3 nothing is raised in a task then: it has to look.
    """

    def __init__(self, connect: Callable[[], Any], *, ended: Callable[[], bool]) -> None:
        self._connect = connect
        self._ended = ended
        self._connection: Any = None
        self._cancelled = False
        # Of the last statement, also of one that was refused.
        self.query_id: str | None = None

    def __enter__(self) -> Session:
        self._go_on()
        self._connection = self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self.cancel()
        # Without COMMIT Snowflake takes back what the session's transaction did.
        self._connection.close()

    def run(self, statement: str, parameters: tuple[Any, ...] | None = None) -> list[dict[str, Any]]:
        """Run one statement and return its rows, by column in lower case.

        :param parameters: values to bind. Without them the connector takes a % as it is.
        :raises AirflowException: if the task is to end
        """
        self._go_on()
        with closing(self._connection.cursor()) as cursor:
            try:
                cursor.execute(statement, parameters)
                self.query_id = cursor.sfqid
                columns = [column[0].lower() for column in cursor.description or ()]
                rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            except Exception as error:
                self.query_id = getattr(error, "sfqid", None)
                # It was cancelled, which the connector says in words of its own.
                self._go_on(error)
                raise
        self._go_on()
        return rows

    def cancel(self) -> None:
        """Cancel what runs in the session. May be called from a signal's handler."""
        session_id = getattr(self._connection, "session_id", None)
        if self._cancelled or session_id is None:
            return
        self._cancelled = True
        # Not here: the signal may have come where this thread holds a lock of the connector's.
        canceller = Thread(target=self._cancel, args=(int(session_id),), daemon=True)
        canceller.start()
        canceller.join(_CANCEL_SECONDS)
        if canceller.is_alive():
            _log.warning(
                "Snowflake didn't answer within %d s when asked to cancel what runs in session %d: it may run on.",
                _CANCEL_SECONDS,
                session_id,
            )

    def _cancel(self, session_id: int) -> None:
        try:
            with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
                (answer,) = cursor.execute(f"SELECT SYSTEM$CANCEL_ALL_QUERIES({session_id})").fetchone()
            _log.info("Cancelled what ran in Snowflake's session %d: %s", session_id, one_line(answer))
        except Exception as error:  # noqa: BLE001  a task that is ended is not to fail in another way
            _log.warning(
                "What runs in Snowflake's session %d could not be cancelled: it may run on, but nothing of it "
                "is committed.\n%s",
                session_id,
                traceback_of(error, redacted, since=error.__traceback__),
            )

    def _go_on(self, error: Exception | None = None) -> None:
        if self._ended():
            raise AirflowException(
                "The task was ended. It sends nothing more to Snowflake, and Snowflake rolls back what wasn't "
                "committed. Another try goes on where this one stopped."
            ) from error
