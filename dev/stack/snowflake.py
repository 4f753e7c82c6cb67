"""A local Snowflake (fakesnow over TLS), tables in memory, run by a Python environment of its own."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from stack.environment import base_environment
from stack.ports import answers, free_port
from stack.processes import StackError

if TYPE_CHECKING:
    from typing import Any

    from stack.processes import Processes

# `make .venv-fakesnow` makes it: fakesnow wants a newer DuckDB and a newer connector than Airflow has.
PYTHON = Path(__file__).parents[2] / ".venv-fakesnow" / "bin" / "python"
SERVER = Path(__file__).with_name("fakesnow_server.py")

USER = "loader"
# An unlikely word: Airflow's log masker replaces a connection's secret wherever it appears.
PASSWORD = "zq4-local-only-wy9"  # noqa: S105 - opens a server on the loopback that forgets everything
DATABASE = "LAKE"
SCHEMA = "PUBLIC"


class Snowflake:
    """A running server on the loopback.

    :param processes: the parts it belongs to.
    :param log: where its log goes; its certificate and DuckDB's extensions go to the folder of that.
    :param s3_endpoint_url: the S3 server that its ``s3://`` stages are on.
    :param s3_access_key: the key for that server.
    :param s3_secret_key: the secret for that server.
    :param port: the port, by default a free one.
    """

    def __init__(
        self,
        processes: Processes,
        log: Path,
        *,
        s3_endpoint_url: str,
        s3_access_key: str,
        s3_secret_key: str,
        port: int | None = None,
    ) -> None:
        if not PYTHON.exists():
            raise StackError(f"There is no {PYTHON}: make the environment with `make .venv-fakesnow`.")
        folder = log.parent / "snowflake"
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.certificate = folder / "certificate.pem"
        # Whoever puts one there may log in with the private key that belongs to it.
        self.public_key = folder / "public_key.pem"
        self.process = processes.start(
            "The Snowflake server",
            [str(PYTHON), "-I", str(SERVER)],
            log=log,
            env={
                **base_environment(folder),
                "FAKESNOW_FOLDER": str(folder),
                "FAKESNOW_PASSWORD": PASSWORD,
                "FAKESNOW_PORT": str(self.port),
                "FAKESNOW_S3_ENDPOINT_URL": s3_endpoint_url,
                "FAKESNOW_S3_KEY": s3_access_key,
                "FAKESNOW_S3_SECRET": s3_secret_key,
            },
            cwd=folder,
            grace=2,
        )
        processes.wait("The Snowflake server's first answer", lambda: answers(self.port), seconds=120)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to trust the server."""
        return {"REQUESTS_CA_BUNDLE": str(self.certificate)}

    @property
    def airflow_connection(self) -> str:
        """The Airflow connection as JSON, for an ``AIRFLOW_CONN_...`` variable."""
        return json.dumps(self.connection())

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        os.environ.update(self.environment)
        import snowflake.connector

        settings: Any = self.connection()
        connection = snowflake.connector.connect(
            user=settings["login"],
            password=settings["password"],
            schema=settings["schema"],
            **settings["extra"],
        )
        with closing(connection), closing(connection.cursor()) as cursor:
            return list(cursor.execute(statement).fetchall())

    def connection(
        self, *, port: int | None = None, password: str = PASSWORD, database: str = DATABASE
    ) -> dict[str, object]:
        """Return the Airflow connection; ``port`` leads to a proxy in front of the server."""
        return {
            "conn_type": "snowflake",
            "login": USER,
            "password": password,
            "schema": SCHEMA,
            "extra": {
                "account": "local",
                "database": database,
                "warehouse": "LOADING",
                "host": "localhost",
                "port": port or self.port,
                # Asks a certificate authority on the internet about the certificate otherwise.
                "insecure_mode": True,
            },
        }
