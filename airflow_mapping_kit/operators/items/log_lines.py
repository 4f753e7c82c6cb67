"""Log lines that say which item they are about."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

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
            # The message is a format only where there are arguments for it.
            record.msg = f"[{item.replace('%', '%%') if record.args else item}] {record.msg}"
        return record

    logging.setLogRecordFactory(keyed)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)
