"""What an item returned, as far as it can be kept."""

from __future__ import annotations

import threading
from typing import Any

from airflow_mapping_kit.checkpoints.rows import Returned
from airflow_mapping_kit.compat import from_xcom_json, xcom_json
from airflow_mapping_kit.exceptions import ResultError
from airflow_mapping_kit.reading.records import error_of


class Room:
    """The room that what items return has, shared by the threads that work on a batch.

    :param kib: how many KiB of JSON one of them may be.
    :param in_all: whether that is so for all of them, since there is no place for them but one XCom.
    """

    def __init__(self, kib: int, *, in_all: bool) -> None:
        self._kib = kib
        self._left = kib * 1024
        self._in_all = in_all
        self._taking = threading.Lock()

    def kept(self, value: Any) -> Returned | None:
        """Return what an item returned with its JSON, having made sure that it comes back out of an XCom.

        One result that doesn't would take all results of its batch with it.

        :raises ResultError: if it can't be written, or not be read again, or is too large.
        """
        if value is None:
            return None
        text = _json(value)
        with self._taking:
            if len(text) > self._left:
                raise ResultError(
                    f"the item was worked on, but its result of {len(text) / 1024:,.0f} KiB is not kept: "
                    f"{'the results of a batch have' if self._in_all else 'one result has'} {self._kib:,} KiB"
                    f"{' in all' if self._in_all else ''} ([mapping_kit] max_result_kb). Return a reference to the "
                    f"data (a key, a path){', or make the batches smaller' if self._in_all else ''}."
                )
            if self._in_all:
                self._left -= len(text)
        return Returned(value, text)


def _json(value: Any) -> str:
    try:
        text = xcom_json(value)
        if "__classname__" in text:
            # Airflow writes more classes than it agrees to read.
            from_xcom_json(text)
    except Exception as error:
        raise ResultError(
            f"the item was worked on, but its result is not kept: {type(value).__name__} can't be an XCom "
            f"({error_of(error)['message']}). Return text, numbers, booleans, None, and lists and dicts of them."
        ) from error
    return text
