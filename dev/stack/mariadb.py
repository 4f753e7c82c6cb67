"""MariaDB from Debian's package, in a folder of its own that goes with it, over a Unix socket."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import pymysql

from stack.environment import base_environment
from stack.process import StackError
from stack.sockets import socket_folder

if TYPE_CHECKING:
    from pathlib import Path

    from stack.processes import Processes

# Whom Debian's package makes for it: it refuses to run as root.
USER = "mysql"
# The data goes with the server, so nothing is worth an fsync.
SETTINGS = {"innodb-flush-log-at-trx-commit": "0", "innodb-doublewrite": "0"}


class MariaDB:
    """A running server with an empty database for Airflow, gone with its data when its processes are ended.

    It is no MySQL, which Debian doesn't have: Airflow takes one for the other.

    :param processes: the parts it belongs to. It has to be started as root.
    :param log: where its log goes.
    """

    def __init__(self, processes: Processes, log: Path) -> None:
        server, setup = (
            shutil.which("mariadbd", path="/usr/sbin:/usr/bin"),
            shutil.which("mariadb-install-db"),
        )
        if not server or not setup:
            raise StackError("MariaDB is not installed: apt install mariadb-server")
        self._folder = socket_folder("maria")
        data, self._socket = self._folder / "data", self._folder / "socket"
        env = base_environment(self._folder)
        try:
            shutil.chown(self._folder, USER)
            given = ["--no-defaults", f"--datadir={data}", f"--user={USER}"]
            subprocess.run(
                [setup, *given, "--auth-root-authentication-method=normal", "--skip-test-db"],
                env=env,
                check=True,
                capture_output=True,
                text=True,
            )
            tuned = [f"--{name}={value}" for name, value in SETTINGS.items()]
            processes.start(
                "MariaDB",
                [server, *given, f"--socket={self._socket}", "--skip-networking", *tuned],
                log=log,
                env=env,
                cwd=self._folder,
                remove=self._folder,
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        processes.wait("MariaDB's first answer", self._answers, seconds=60, every=0.1)
        with pymysql.connect(unix_socket=str(self._socket), user="root") as connection:
            connection.cursor().execute("CREATE DATABASE airflow CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")

    @property
    def sqlalchemy_url(self) -> str:
        """The address for SQLAlchemy."""
        return f"mysql+pymysql://root@localhost/airflow?charset=utf8mb4&unix_socket={quote(str(self._socket), safe='')}"

    def _answers(self) -> bool:
        try:
            pymysql.connect(unix_socket=str(self._socket), user="root").close()
        except pymysql.OperationalError:
            return False
        return True
