"""What Airflow calls of the kit at its own pace must never stop it.

Standard library only at its top: the policy imports it, and Airflow does not start where a policy fails to import.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)
_reported: set[tuple[Any, ...]] = set()


def guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """Make a hook log what it raises, once a task and cause, instead of raising it.

    On Airflow 2.10 a listener that raises when an instance starts fails it, one that raises when an
    instance fails leaves it running, and a policy that raises stops the scheduler.
    """

    @functools.wraps(hook)
    def call(subject: Any, *args: Any) -> None:
        try:
            hook(subject, *args)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the task and the scheduler go on
            cause = (hook.__name__, *_ids(subject), type(error))
            if cause not in _reported:
                _reported.add(cause)
                log.warning(
                    "The mapping kit's %s went wrong for %s, which goes on without it: instances may show "
                    "a number instead of their label, and the fan-in may miss an error's text. "
                    "Further cases of this task are not logged.\n%s",
                    hook.__name__,
                    _named(subject),
                    _traceback(error),
                )

    return call


def _named(subject: Any) -> str:
    try:
        return str(subject).replace("\n", " ")
    except Exception:  # noqa: BLE001 -- an object of a session that is gone
        return f"a {type(subject).__name__}"


def _traceback(error: Exception) -> str:
    try:
        from airflow_mapping_kit.compat import redacted
        from airflow_mapping_kit.failures import traceback_of

        return traceback_of(error, redacted, since=error.__traceback__)
    except Exception:  # noqa: BLE001 -- of the kit, or of Airflow, not all can be imported
        return f"  {type(error).__name__}{f': {error}' if isinstance(error, ImportError) else ''}"


def _ids(subject: Any) -> tuple[Any, ...]:
    try:
        return getattr(subject, "dag_id", None), getattr(subject, "task_id", None)
    except Exception:  # noqa: BLE001 -- an object of a session that is gone does not even tell its ids
        return ()
