"""Processes that items start, and that must not outlive the instance."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Not on other systems, nor of a kernel without CONFIG_PROC_CHILDREN.
_TELLS = Path("/proc/thread-self/children")


class Children:
    """The child processes of this one that are not there yet when this is made."""

    def __init__(self) -> None:
        self._before = _there_already()

    def end(self, seconds: float) -> None:
        """Ask them to end; after so many seconds end what has not."""
        import psutil

        children = set(psutil.Process().children(recursive=True)) - self._before
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        _, alive = psutil.wait_procs(children, timeout=seconds)
        for child in alive:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def _there_already() -> set[Any]:
    """Return the processes below this one, as psutil has them: of a task nearly always none."""
    # It reads every process of the machine for this, while Linux tells which are the children of a thread.
    if _TELLS.exists() and not any(_children_of_this()):
        return set()
    import psutil

    return set(psutil.Process().children(recursive=True))


def _children_of_this() -> Iterator[str]:
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has just ended
            yield (thread / "children").read_text()
