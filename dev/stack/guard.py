"""Run one command and leave nothing of it behind.

A process of its own stands between the parent and every command: it holds a pipe from the parent, and when the
pipe closes (the parent asked, was interrupted, or was killed by SIGKILL) it ends the command and everything the
command started. On Linux it is a subreaper as well: daemons and orphans of the command come back to it. They end
with the command, unless the parent said SIGUSR1: then they go on until the pipe closes.
It runs as a program, ``python -I guard.py OPTIONS COMMAND...``, and so it stands alone.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """Set a Linux process attribute; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Guarded:
    """A command and all the processes that came of it."""

    def __init__(self, command: list[str], user: str | None) -> None:
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # Credentials change before this runs, and changing them would clear the signal.
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - no threads here
            **({} if user is None else {"user": user, "group": _group(user), "extra_groups": []}),
        )
        self.returncode: int | None = None

    def reap(self) -> None:
        """Collect every process that has ended, adopted ones too."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.child.pid:
                    self.returncode = self.child.returncode = os.waitstatus_to_exitcode(status)

    def alive(self) -> list[psutil.Process]:
        """Return what still runs, leaves last."""
        self.reap()
        return psutil.Process().children(recursive=True)

    def end(self, how: signal.Signals, grace: float) -> None:
        """Ask the command to end, give it ``grace`` seconds, then end whatever is left."""
        family = self.alive()
        if self.returncode is None:
            _send(self.child.send_signal, how)
        if not self._gone_within(grace):
            family += self.alive()
            for process in self.alive():
                _send(process.send_signal, signal.SIGTERM)
            self._gone_within(2)
        # Where there is no subreaper an orphan is nobody's child any more, so those seen earlier are ended too.
        while remaining := {p for p in (*family, *self.alive()) if p.is_running() and not _zombie(p)}:
            for process in remaining:
                _send(process.send_signal, signal.SIGKILL)
            self.reap()
            time.sleep(0.02)

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _send(send: Callable[[int], None], how: int) -> None:
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess, psutil.AccessDenied):
        send(how)


def _zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def main() -> int:
    """Run the command until it ends or the pipe on standard input closes; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signal", default="SIGTERM", help="what asks the command to end")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds it has to do so")
    parser.add_argument("--user", help="whom to run the command as")
    parser.add_argument("--remove", help="a folder to remove when all is ended")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()

    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    stop = leave_orphans = False

    def on_stop(_signum: int, _frame: object) -> None:
        nonlocal stop
        stop = True

    def on_leave_orphans(_signum: int, _frame: object) -> None:
        nonlocal leave_orphans
        leave_orphans = True

    signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
    signal.signal(signal.SIGUSR1, on_leave_orphans)
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), on_stop)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        guarded = Guarded(arguments.command, arguments.user)
        while not stop and (guarded.returncode is None or (leave_orphans and guarded.alive())):
            ready, _, _ = select.select([sys.stdin.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 512)
            if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 512):
                stop = True
            guarded.reap()
        guarded.end(signal.Signals[arguments.signal], arguments.grace)
        code = guarded.returncode or 0
        return code if code >= 0 else 128 - code
    finally:
        if arguments.remove:
            shutil.rmtree(arguments.remove, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
