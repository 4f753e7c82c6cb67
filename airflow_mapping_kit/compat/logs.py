"""The log of a task, as far as the kit has to do with it."""

from __future__ import annotations

import io
import logging
from contextlib import suppress
from typing import Any

from airflow_mapping_kit.compat.names import AIRFLOW_3

_ESCAPED = "backslashreplace"


def let_logs_take_any_text() -> None:
    r"""Have the logs of this process escape what UTF-8 can't hold: half a surrogate pair is `\ud83d` there.

    Airflow writes an exception into the log of its task before it tells listeners of it. Where the log can't be
    written the process ends, and with it all that was known of the exception.
    """
    if AIRFLOW_3:
        import structlog

        processors = structlog.get_config()["processors"]
        # The list that loggers have, those too that are there already. The last one writes what it is given.
        if isinstance(processors, list) and escaped not in processors:
            processors.insert(len(processors) - 1, escaped)
        return
    for logger in (logging.getLogger("airflow.task"), logging.getLogger()):
        for handler in logger.handlers:
            # The handler of tasks has the one of the file within.
            inner = getattr(handler, "handler", None) or handler
            if isinstance(inner, logging.FileHandler):
                inner.errors = _ESCAPED
            stream = getattr(inner, "stream", None)
            # Somebody may have closed it, or taken it apart: nothing is written there any more.
            if isinstance(stream, io.TextIOWrapper):
                with suppress(ValueError, OSError):
                    stream.reconfigure(errors=_ESCAPED)


def escaped(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Return an event of structlog with text that UTF-8 can hold, in the frames of an exception too."""
    return {name: _plain(value) for name, value in event.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors=_ESCAPED).decode()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
