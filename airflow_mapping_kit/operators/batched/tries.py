"""Calls in threads that can be ended from outside: one after its time, or all of them at once."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.operators.batched.attempts import ItemStopped
from airflow_mapping_kit.operators.batched.places import LOOK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mapping_kit.operators.batched.attempts import Policy
    from airflow_mapping_kit.operators.batched.calls import Call

# No item is worth looking for it more often; and for a year nobody can wait at once.
_LEAST_SECONDS, _MOST_SECONDS = 0.002, 3600.0


class Replaced(BaseException):
    """Another thread works in the place of this one, whose call was not back in time: it is to end."""


class Try:
    """One try of an item, by the thread that makes this.

    :param started: what `time.monotonic()` said when it began.
    """

    __slots__ = (
        "call",
        "error",
        "interrupted",
        "overdue_since",
        "replaced",
        "returned",
        "started",
        "thread",
        "tries",
        "value",
    )

    def __init__(self, call: Call, tries: int, started: float) -> None:
        self.call = call
        self.tries = tries
        self.started = started
        self.thread = threading.current_thread()
        self.returned = self.interrupted = self.replaced = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.overdue_since: float | None = None

    def result(self, policy: Policy) -> Any:
        """Return what the function returned, or raise what it raised, or that it took too long."""
        # What it has done all the same need not be done again.
        if self.returned:
            return self.value
        if self.overdue_since is not None:
            raise policy.overdue(back=True)
        error, self.error = self.error, None
        try:
            raise ItemStopped if error is None else error
        finally:
            del error  # its traceback has this frame: neither is to wait for the garbage collector


class Tries:
    """The tries that are in the author's function: what the kit does around it must not be interrupted halfway.

    :param policy: says how long each may take.
    :param replace: called with one that could not be ended, whose thread ends as soon as it is back.
    """

    def __init__(self, policy: Policy, replace: Callable[[Try], None]) -> None:
        self._policy = policy
        self._replace = replace
        self._running: set[Try] = set()
        self._marking = threading.Lock()
        self._stopped = False
        self._ended = threading.Event()
        # One for all: it costs an item nothing, while a thread for each try would cost more than all the rest.
        self._watcher: threading.Thread | None = None

    def watch(self) -> None:
        """Begin to look for tries that take too long, if there is such a thing."""
        if self._policy.timeout is not None:
            watcher = threading.Thread(target=self._watch, args=(self._policy.timeout,), daemon=True)
            watcher.start()
            self._watcher = watcher

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def stop(self) -> None:
        """End all that run, and let none begin."""
        with self._marking:
            self._stopped = True
            for one in self._running:
                _interrupt(one)
        self.end()
        if self._watcher is not None:
            self._watcher.join()

    def outcome(self, this: Try) -> Any:
        """Make the call of a try, and return what it returns.

        :raises ItemTimeout: if it took too long, and is back.
        :raises Replaced: if it took too long, and another thread has the place of this one.
        :raises ItemStopped: if all are stopped.
        """
        begun = False
        # What ends it may arrive just after the function has returned: it goes no further than this.
        while True:
            try:
                if not begun:
                    begun = True
                    self._call(this)
                self._leave(this)
                break
            except ItemStopped:
                continue
        if this.replaced:
            raise Replaced
        return this.result(self._policy)

    def _call(self, this: Try) -> None:
        with self._marking:
            if self._stopped:
                return
            self._running.add(this)
        try:
            this.value = this.call.make()
            this.returned = True
        except BaseException as error:  # noqa: BLE001 -- `Try.result` raises it
            this.error = error

    def _leave(self, this: Try) -> None:
        with self._marking:
            self._running.discard(this)
            if this.interrupted:
                _set_exception(this.thread, None)

    def _watch(self, seconds: float) -> None:
        pause = seconds
        while not self._ended.wait(min(max(pause, _LEAST_SECONDS), _MOST_SECONDS)):
            now = time.monotonic()
            # What begins after this look has its time until then.
            next_look, late = now + seconds, []
            with self._marking:
                for one in self._running:
                    if one.overdue_since is None and now >= one.started + seconds:
                        one.overdue_since = now
                        _interrupt(one)
                    elif one.overdue_since is not None and now >= one.overdue_since + LOOK_SECONDS:
                        if not one.replaced:
                            one.replaced = True
                            late.append(one)
                        continue
                    since = (
                        one.started + seconds
                        if one.overdue_since is None
                        else one.overdue_since + LOOK_SECONDS
                    )
                    next_look = min(next_look, since)
            for one in late:
                self._replace(one)
            pause = next_look - time.monotonic()


def _interrupt(one: Try) -> None:
    """Raise `ItemStopped` in the thread of a try, as soon as that runs Python code again."""
    one.interrupted = True
    _set_exception(one.thread, ItemStopped)


def _set_exception(thread: threading.Thread, kind: type[BaseException] | None) -> None:
    """Have a thread raise something, or not any more what it was to raise."""
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), None if kind is None else ctypes.py_object(kind)
        )
