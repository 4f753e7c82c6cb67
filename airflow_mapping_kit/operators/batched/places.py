"""The places that calls have, so many at a time: a call that nobody can end keeps its own."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger(__name__)

# So often is it looked whether a call is back that nobody could end.
LOOK_SECONDS = 0.1


class Places:
    """How many places still move: each works on an item, or will.

    :param patience: after so many seconds in which none moves, none will: what is left is given up.
    """

    def __init__(self, patience: float | None) -> None:
        self._moving = 0
        self._patience = patience
        self._since: float | None = None
        self._changing = threading.Lock()

    def stuck(self) -> bool:
        """Tell whether all of them have been held for longer than anybody waits."""
        with self._changing:
            return (
                self._patience is not None
                and self._since is not None
                and time.monotonic() - self._since >= self._patience
            )

    def change(self, moving: int) -> None:
        """Count more, or fewer, that move: there are none to begin with."""
        with self._changing:
            self._moving += moving
            self._since = None if self._moving else time.monotonic()


class Place:
    """One of the places, of whoever works there."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._moves = True

    def say_that_it_is_held(self, seconds: float | None) -> None:
        """Log what a call costs that goes on after its time."""
        log.warning(
            "No result after %g s (item_timeout), and the call goes on: it waits outside Python and can't be "
            "interrupted. Until it returns, no other item takes its place, and this item is not tried again. "
            "Give the function a time-out of its own, shorter than item_timeout.",
            seconds,
        )

    def hold(self) -> None:
        """Begin nothing here until `free`."""
        if self._moves:
            self._moves = False
            self._places.change(-1)

    def free(self) -> None:
        """Go on here."""
        if not self._moves:
            self._moves = True
            self._places.change(1)
