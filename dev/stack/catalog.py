"""A local Iceberg catalog over REST, run by a Python environment of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from stack.environment import base_environment
from stack.ports import LOOPBACK, answers, free_port
from stack.processes import StackError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog as AnyCatalog

    from stack.processes import Processes

# `make .venv-catalog/.installed` makes it: pyiceberg's SQL catalogs want a newer SQLAlchemy than Airflow 2.10 has.
PYTHON = Path(__file__).parents[2] / ".venv-catalog" / "bin" / "python"
SERVER = Path(__file__).with_name("catalog_server.py")

NAME = "lake"
CLIENT = "mapkitlocalclient"
# An unlikely word: Airflow's log masker replaces a connection's secret wherever it appears.
SECRET = "jx5-local-only-kw8"  # noqa: S105 - opens a server on the loopback that forgets everything


class Catalog:
    """A running catalog on the loopback.

    :param processes: the parts it belongs to.
    :param log: where its log goes; what it knows of tables goes to the folder of that.
    :param warehouse: where tables go that name no other place: a folder, or ``s3://bucket/prefix``.
    :param storage: what it and its clients need for tables on S3: pyiceberg's ``s3.…`` properties.
    :param port: the port, by default a free one.
    """

    def __init__(
        self,
        processes: Processes,
        log: Path,
        *,
        warehouse: Path | str,
        storage: dict[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        if not PYTHON.exists():
            raise StackError(
                f"There is no {PYTHON}: make the environment with `make .venv-catalog/.installed`."
            )
        folder = log.parent / "catalog"
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.uri = f"http://{LOOPBACK}:{self.port}"
        self.process = processes.start(
            "The Iceberg catalog",
            [str(PYTHON), "-I", str(SERVER)],
            log=log,
            env={
                **base_environment(folder),
                "CATALOG_CREDENTIAL": f"{CLIENT}:{SECRET}",
                "CATALOG_NAME": NAME,
                "CATALOG_PORT": str(self.port),
                "CATALOG_STORAGE": json.dumps(storage or {}),
                # Not as a URI has it: pyiceberg takes the %20 of a path literally.
                "CATALOG_WAREHOUSE": warehouse if isinstance(warehouse, str) else f"file://{warehouse}",
            },
            cwd=folder,
            grace=2,
        )
        processes.wait("The Iceberg catalog's first answer", lambda: answers(self.port), seconds=120)

    @property
    def airflow_connection(self) -> str:
        """The Airflow connection as JSON, for an ``AIRFLOW_CONN_...`` variable."""
        return self.airflow_connection_by(self.uri)

    @staticmethod
    def airflow_connection_by(uri: str) -> str:
        """Return the Airflow connection as JSON that takes another way to the catalog, a proxy."""
        return json.dumps({"conn_type": "iceberg", "host": uri, "login": CLIENT, "password": SECRET})

    def client(self) -> AnyCatalog:
        """Return pyiceberg's client of the catalog."""
        from pyiceberg.catalog import load_catalog

        return load_catalog(
            NAME,
            type="rest",
            uri=self.uri,
            credential=f"{CLIENT}:{SECRET}",
            # The address that it would take anyhow; it warns where it isn't told.
            **{"oauth2-server-uri": f"{self.uri}/v1/oauth/tokens"},
        )
