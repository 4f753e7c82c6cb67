"""What a batch asks before it begins an item: what bounds or halts calls while they run."""

from __future__ import annotations

from typing import Protocol


class Workers(Protocol):
    """Those who work on the items of a batch, so many at a time."""

    def resize(self, count: int) -> None:
        """Work on so many items at a time from now on; what runs beyond that is not ended. From any thread."""


class Over(Protocol):
    """Whether there is anything to wait for."""

    def is_set(self) -> bool:
        """Tell whether the batch is to end, or nothing of it is left to begin: nobody may be kept waiting then."""


class Gate(Protocol):
    """What stands before every try of an item."""

    @property
    def is_open(self) -> bool:
        """Whether all may go through as they come, without a word."""

    def stands_before(self, workers: Workers) -> None:
        """Learn who goes through it. Called once, before anybody does."""

    def enter(self, over: Over) -> bool:
        """Wait until a try may begin, and tell whether it may: no more are begun after `False`.

        :param over: looked at while it is waited.
        """

    async def entered(self, over: Over) -> bool:
        """Do the same where a thread must not wait: in an event loop."""
