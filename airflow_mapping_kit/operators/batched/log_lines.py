"""Log lines that say which item they are about."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO, cast

from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of the item that a thread or a coroutine works on.
key: ContextVar[str | None] = ContextVar("mapping_kit_item", default=None)


@contextmanager
def with_keys() -> Iterator[None]:
    """Put an item's key before every line that is logged, or printed, while it is worked on."""
    make = logging.getLogRecordFactory()

    def keyed(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        item = key.get()
        if item is not None:
            shown = one_line(item)
            # The message is a format only where there are arguments for it.
            record.msg = f"[{shown.replace('%', '%%') if record.args else shown}] {record.msg}"
        return record

    logging.setLogRecordFactory(keyed)
    try:
        # Airflow 2 makes log records of what a task prints; on 3 it goes to the supervisor as it is.
        with _prints_with_keys() if AIRFLOW_3 else nullcontext():
            yield
    finally:
        logging.setLogRecordFactory(make)


@contextmanager
def _prints_with_keys() -> Iterator[None]:
    out, err = _Keyed(sys.stdout), _Keyed(sys.stderr)
    try:
        with redirect_stdout(cast("TextIO", out)), redirect_stderr(cast("TextIO", err)):
            yield
    finally:
        out.end()
        err.end()


class _Keyed:
    """A stream to which items write whole lines, with their keys: so lines don't get into each other."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the lines that have an end; the rest waits for it."""
        item = key.get()
        if item is None:
            return self._stream.write(text)
        *lines, rest = f"{self._begun.pop(item, '')}{text}".split("\n")
        if rest:
            self._begun[item] = rest
        self._stream.write("".join(f"[{one_line(item)}] {line}\n" for line in lines))
        return len(text)

    def end(self) -> None:
        """Write what still waits for an end."""
        self._stream.write("".join(f"[{one_line(item)}] {line}\n" for item, line in self._begun.items()))
        self._begun.clear()
