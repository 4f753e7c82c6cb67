"""What a mapped instance leaves behind for the fan-in: its key, its label and what stopped it.

An XCom of the instance: it survives failures, retries and SIGKILL, and goes when a new try starts.
Airflow itself keeps neither the text of an exception nor what an instance was mapped over.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import failures
from airflow_mapping_kit.compat import redacted

if TYPE_CHECKING:
    from airflow_mapping_kit.results import Error, ItemResult

RECORD_KEY = "mapping_kit"
# What an instance of Airflow 3 leaves of its batch among its own XComs: chunks `mapping_kit_done/0` and so on.
LEFT_KEY = "mapping_kit_done"
# The slices of a plan once more, where XComs are kept by a backend of the deployment's own: the scheduler, which must
# not wait for that, makes labels of them.
SLICES_KEY = "mapping_kit_slices"
# What became of the items of a batch, where the task returns something else.
ITEMS_KEY = "mapping_kit_items"
# What somebody has changed of a task at work: `mapping_kit_set/<task id>`.
SET_KEY = "mapping_kit_set"
# Of an instance whose process was killed Airflow says which one it is, as a dict, and nothing more.
_ZOMBIE = "{'DAG Id'"


def is_plain(key: str) -> bool:
    """Tell whether an XCom is one that the kit writes for itself, past the deployment's backend."""
    return key in (RECORD_KEY, SLICES_KEY) or key.startswith(f"{SET_KEY}/")


def record_of(key: str, label: str | None, try_number: int) -> dict[str, Any]:
    """Return the record of an instance that starts: `{"key", "label", "try_number"}`."""
    return {"key": key, "label": label, "try_number": try_number}


def error_of(error: BaseException | str | None) -> Error:
    """Return the error that a record keeps: type, and at most 2 kB of message without the secrets of this process.

    `ValueError("no such item")` gives `{"type": "ValueError", "message": "no such item"}`. Airflow tells of
    an instance that was killed with text, or with nothing. Never raises.
    """
    if error is None or (isinstance(error, str) and error.startswith(_ZOMBIE)):
        return {"type": None, "message": "no exception recorded"}
    return failures.error_of(error, redacted)


def item_result(
    key: str,
    state: str,
    *,
    started: float,
    value: Any = None,
    error: BaseException | None = None,
    tries: int = 1,
) -> ItemResult:
    """Return what became of an item that was worked on.

    :param started: what `time.monotonic()` said when its last try began.
    """
    return {
        "key": key,
        "state": state,
        "value": value,
        "error": None if error is None else error_of(error),
        "tries": tries,
        "duration_s": int((time.monotonic() - started) * 1e6) / 1e6,
    }
