"""The calls that there are to make, taken one after another by whoever has time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_mapping_kit.operators.batched.gate import Over


class Call(NamedTuple):
    """The call of the function for one item; a coroutine function's gives what is to be awaited.

    :param item: the number of the item, by which its result is handed over.
    """

    key: str
    make: Callable[[], Any]
    item: int


class Calls:
    """Calls that are made as they are taken, so that never more than one waits for somebody.

    :param calls: an iterator, asked by one thread at a time.
    :param failed: told of what it raises; there are no further calls then.
    """

    def __init__(self, calls: Iterator[Call], failed: Callable[[BaseException], None]) -> None:
        self._calls = calls
        self._failed = failed
        self._next: Call | None = None
        self._ended = False
        self._taking = threading.Lock()

    def more(self) -> bool:
        """Tell whether there is another."""
        with self._taking:
            if self._next is None:
                self._next = self._asked()
            return self._next is not None

    def take(self) -> Call | None:
        """Return the next, `None` if there is no other."""
        with self._taking:
            if self._next is None:
                return self._asked()
            call, self._next = self._next, None
            return call

    def __iter__(self) -> Iterator[Call]:
        while (call := self.take()) is not None:
            yield call

    def _asked(self) -> Call | None:
        try:
            call = None if self._ended else next(self._calls, None)
        except BaseException as error:  # noqa: BLE001 -- it ends the batch, wherever it came up
            call = None
            self._failed(error)
        self._ended = call is None
        return call


class NoneLeft:
    """Set when a batch is to end, and when none of its calls is left to begin.

    :param over: set when it is to end.
    """

    def __init__(self, over: Over, calls: Calls) -> None:
        self._over = over
        self._calls = calls

    def is_set(self) -> bool:
        """Tell whether it is so."""
        return self._over.is_set() or not self._calls.more()
