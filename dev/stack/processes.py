"""Start processes, notice when one dies, and end them all in reverse order, whatever happens."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stack.process import Process, StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

__all__ = ["Process", "Processes", "StackError", "uninterrupted"]

GUARD = Path(__file__).with_name("guard.py")


class Processes:
    """The running parts, ended in reverse order of their start when the ``with`` block is left.

    :param lock: an open file whose lock shall be held until the last process is gone, even where this process is
        killed before.
    """

    def __init__(self, lock: int | None = None) -> None:
        self._lock = lock
        self._processes: list[Process] = []

    def start(
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        end_signal: signal.Signals = signal.SIGTERM,
        grace: float = 5.0,
        user: str | None = None,
        remove: Path | None = None,
    ) -> Process:
        """Start a command whose output goes to ``log``.

        :param end_signal: what asks it to end.
        :param grace: seconds it has to do so before its whole family is killed.
        :param user: whom to run it as (only root can choose).
        :param remove: a folder to remove once it has ended, also where this process was killed before.
        """
        options = ["--signal", end_signal.name, "--grace", str(grace)]
        if user is not None:
            options += ["--user", user]
        if remove is not None:
            options += ["--remove", str(remove)]
        log.parent.mkdir(parents=True, exist_ok=True)

        def launch() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    [sys.executable, "-I", str(GUARD), *options, *command],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    cwd=cwd,
                    start_new_session=True,
                    pass_fds=() if self._lock is None else (self._lock,),
                )

        process = Process(name, launch, log, patience=grace + 15)
        self._processes.append(process)
        return process

    def __iter__(self) -> Iterator[Process]:
        """Return the parts, in the order of their start."""
        return iter(self._processes)

    def check(self) -> None:
        """Raise a StackError if any part has ended by itself."""
        for process in self._processes:
            process.check()

    def wait(self, what: str, ready: Callable[[], Any], *, seconds: float, every: float = 0.1) -> Any:
        """Poll ``ready`` until it returns something true, and return that.

        Raise a StackError when a part ends meanwhile or ``seconds`` have passed.
        """
        deadline = time.monotonic() + seconds
        while not (value := ready()):
            self.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"  {process.log}" for process in self._processes)
                raise StackError(f"{what} did not happen within {seconds:.0f} seconds. See the logs:\n{logs}")
            time.sleep(every)
        return value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            while self._processes:
                self._processes[-1].end()
                self._processes.pop()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore an impatient second Ctrl-C: ending takes a few seconds and must not stop half-way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(name, signal.SIG_IGN) for name in names]
    try:
        yield
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
