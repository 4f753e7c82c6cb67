"""Processes that items start, and that must not outlive the instance."""

from __future__ import annotations

from contextlib import suppress

import psutil


class Children:
    """The child processes of this one that are not there yet when this is made."""

    def __init__(self) -> None:
        self._before = set(psutil.Process().children(recursive=True))

    def end(self, seconds: float) -> None:
        """Ask them to end; after so many seconds end what has not."""
        children = set(psutil.Process().children(recursive=True)) - self._before
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        _, alive = psutil.wait_procs(children, timeout=seconds)
        for child in alive:
            with suppress(psutil.NoSuchProcess):
                child.kill()
