"""One demo at a time in a checkout."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from stack.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_SECONDS = 60


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock and give its file descriptor.

    The processes of a demo hold it too: after a demo was killed it is free once they are all gone, which is
    waited for. Raise a StackError if another demo runs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not _lock(descriptor):
            owner = os.pread(descriptor, 32, 0).decode().strip()
            if _runs(owner) or time.monotonic() > deadline:
                raise StackError(
                    f"A demo is already running in this folder (process {owner or 'unknown'}). "
                    f"End it with Ctrl-C in its terminal, or with: kill {owner}"
                )
            time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
