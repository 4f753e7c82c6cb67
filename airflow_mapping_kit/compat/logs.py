"""The log of a task, as far as the kit has to do with it."""

from __future__ import annotations

import io
import logging

_ESCAPED = "backslashreplace"


def let_logs_take_any_text() -> None:
    r"""Have the logs of this process escape what UTF-8 can't hold: half a surrogate pair is `\ud83d` there.

    Airflow 2 writes an exception into the log of its task before it tells listeners of it. Where the log can't be
    written the process ends, and with it all that was known of the exception.
    """
    for logger in (logging.getLogger("airflow.task"), logging.getLogger()):
        for handler in logger.handlers:
            # The handler of tasks has the one of the file within.
            inner = getattr(handler, "handler", None) or handler
            if isinstance(inner, logging.FileHandler):
                inner.errors = _ESCAPED
            stream = getattr(inner, "stream", None)
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=_ESCAPED)
