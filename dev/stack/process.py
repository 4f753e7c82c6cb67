"""One running part and all processes that came of it: ended with the stack, or struck on purpose and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# Of the guard: what its command leaves behind goes on until the pipe closes.
LEAVE_ORPHANS = signal.SIGUSR1


class StackError(RuntimeError):
    """A part that could not be started, or that ended by itself; the message says which and what to do."""


class Process:
    """One running part, its guard and its log.

    What a fault does to it is asked of it: `kill`, `kill_group`, `freeze` and `thaw`, and `restart` when that is over.
    A part that was killed on purpose is no error of the stack.

    :param name: what messages call it.
    :param launch: starts its guard.
    :param log: where its output goes, of every start of it.
    :param patience: seconds until a guard that was asked to end everything is killed.
    """

    def __init__(
        self, name: str, launch: Callable[[], subprocess.Popen[bytes]], log: Path, patience: float
    ) -> None:
        self.name = name
        self.log = log
        self._launch = launch
        self._patience = patience
        self._asked_to_end = False
        # Of earlier starts: what `kill_group` left goes on beside them.
        self._earlier: list[subprocess.Popen[bytes]] = []
        self._start()

    def _start(self) -> None:
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        self._guard = self._launch()

    @property
    def running(self) -> bool:
        """Whether anything of the part still runs."""
        return self._guard.poll() is None

    @property
    def family(self) -> list[psutil.Process]:
        """All processes of the part's last start: its command first, then what came of it, daemons and orphans too."""
        try:
            found = psutil.Process(self._guard.pid).children(recursive=True)
            return sorted(found, key=psutil.Process.create_time)
        except psutil.NoSuchProcess:  # one of them ended meanwhile, or all have
            return self.family if self.running else []

    @property
    def output(self) -> str:
        """What the part has written since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def check(self) -> None:
        """Raise a StackError with the tail of the log if the part has ended by itself."""
        if not self.running and not self._asked_to_end:
            status = self._guard.returncode
            raise StackError(
                f"{self.name} ended by itself (exit status {status}). The end of its log, {self.log}:\n{self.tail()}"
            )

    def kill(self) -> None:
        """End all its processes at once, as a machine dies: SIGKILL, and none sees another one go."""
        self._asked_to_end = True
        # What stands still starts nothing more.
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and (moving := [one for one in self.family if _moves(one)]):
            _send(signal.SIGSTOP, moving)
            time.sleep(0.01)
        _send(signal.SIGKILL, self.family)
        self._close(self._guard)

    def kill_group(self) -> None:
        """SIGKILL the process group of its command alone.

        What made a group of its own goes on without it, as tasks of Airflow 2 do, until the stack ends.
        """
        self._asked_to_end = True
        # Or its guard would end what is left.
        self._guard.send_signal(LEAVE_ORPHANS)
        family = self.family
        group = [one for one in family if _group(one) == family[0].pid]
        _send(signal.SIGKILL, group)
        psutil.wait_procs(group, timeout=5)

    def freeze(self) -> None:
        """Stop all its processes, as a machine does that swaps or whose virtual machine is moved."""
        _send(signal.SIGSTOP, self.family)

    def thaw(self) -> None:
        """Have all its processes go on after `freeze`."""
        _send(signal.SIGCONT, reversed(self.family))

    def restart(self) -> None:
        """Start the same command again, beside what `kill_group` has left of it."""
        self._earlier.append(self._guard)
        self._start()
        self._asked_to_end = False

    def end(self) -> None:
        """End the part and wait until all its processes are gone. Doing so twice does no harm."""
        self._asked_to_end = True
        for guard in (self._guard, *self._earlier):
            self._close(guard)

    def _close(self, guard: subprocess.Popen[bytes]) -> None:
        if guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                guard.stdin.close()
        try:
            guard.wait(self._patience)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()


def _send(signum: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signum)


def _moves(process: psutil.Process) -> bool:
    try:
        return process.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return False


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None
