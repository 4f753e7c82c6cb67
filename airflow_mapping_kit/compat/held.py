"""One connection to the metadata database for all that the process of a task asks of it, on Airflow 2.

Airflow opens one for each thing that a task asks, and so would the kit: for what an instance of a batched task is to
be called, what is done of it, whether it is still its own. Each costs the server a process.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat.names import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Iterator

# What has been used so lately is not asked whether it answers: what is between is no time for a firewall to close it.
_FRESH_SECONDS = 1.0
# So long one thread waits for another, before it opens a connection of its own.
_WAIT_SECONDS = 1.0


class _Held:
    """A connection that is open between uses, by one thread at a time."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._used = 0.0
        self._opened_by = 0
        self._user: int | None = None
        self._using = threading.Lock()
        # What a process that was forked meanwhile has of it is not its own.
        self.process = os.getpid()

    def take(self, engine: Any) -> Any:
        """Return the connection, `None` if who asks has to open another."""
        me = threading.get_ident()
        # Within its own use it is in a transaction.
        if self._user == me or not self._using.acquire(timeout=_WAIT_SECONDS):
            return None
        # A file of SQLite is open for one thread.
        if self._connection is not None and engine.dialect.name == "sqlite" and self._opened_by != me:
            self._using.release()
            return None
        try:
            if self._connection is not None and not self._answers():
                self.close(broken=True)
            if self._connection is None:
                self._connection, self._opened_by = engine.connect(), me
        except BaseException:
            self._using.release()
            raise
        self._user = me
        return self._connection

    def put_back(self) -> None:
        """Let others take it."""
        self._used, self._user = time.monotonic(), None
        self._using.release()

    def close(self, *, broken: bool = False) -> None:
        """Close it; the next who asks opens it again.

        :param broken: whether it may be: then no transaction is rolled back, which would be logged as an error.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                if broken:
                    connection.invalidate()
                connection.close()

    def _answers(self) -> bool:
        if time.monotonic() - self._used < _FRESH_SECONDS:
            return True
        try:
            dbapi_connection = self._connection.connection.dbapi_connection
            return bool(self._connection.dialect.do_ping(dbapi_connection))
        except Exception:  # noqa: BLE001 -- whatever it is: it is opened anew
            return False


_held: _Held | None = None


def hold_connection() -> None:
    """Have one connection serve all that this process asks from now on, until `let_go_of_connection`."""
    global _held  # noqa: PLW0603 -- a process has one
    if not AIRFLOW_3 and (_held is None or _held.process != os.getpid()):
        _held = _Held()


def let_go_of_connection() -> None:
    """Close it."""
    global _held
    held, _held = _held, None
    if held is not None and held.process == os.getpid():
        held.close()


@contextmanager
def one_connection() -> Iterator[None]:
    """Have one connection serve all that is asked within, on Airflow 2; a task of Airflow 3 has no database."""
    hold_connection()
    try:
        yield
    finally:
        let_go_of_connection()


@contextmanager
def connection_of(engine: Any) -> Iterator[Any]:
    """Give what a session is to be bound to: the connection that is held, if there is one, else the engine."""
    held = _held
    connection = held.take(engine) if held is not None and held.process == os.getpid() else None
    if held is None or connection is None:
        yield engine
        return
    try:
        yield connection
    except BaseException:
        # It may be what is wrong.
        held.close(broken=True)
        raise
    finally:
        held.put_back()
