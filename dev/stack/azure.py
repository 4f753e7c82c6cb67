"""A local Azure Blob Storage (Azurite), blobs in memory."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from stack.environment import base_environment
from stack.ports import LOOPBACK, answers, free_port
from stack.processes import StackError

if TYPE_CHECKING:
    from typing import Any

    from stack.processes import Processes

# `make test-stores` installs it there.
_MAIN = "build/azurite/node_modules/azurite/dist/src/blob/main.js"
PROGRAM = Path(__file__).parents[2] / _MAIN

ACCOUNT = "mapkitlocal"
KEY = "bWFwcGluZy1raXQtbG9jYWwtb25seS1xejctdng0LWtleQ=="


class Azure:
    """A running server on the loopback. A container is a bucket of it.

    :param processes: the parts it belongs to.
    :param log: where its log goes.
    """

    scheme = "az"

    def __init__(self, processes: Processes, log: Path) -> None:
        if not PROGRAM.exists():
            raise StackError(f"There is no {PROGRAM}: install it with `make test-stores`.")
        self.port = free_port()
        self.endpoint_url = f"http://{LOOPBACK}:{self.port}"
        node = Path(sysconfig.get_path("scripts")) / "node"
        options = ["--blobHost", LOOPBACK, "--blobPort", str(self.port)]
        # It knows the newest version of the protocol only after Azure's own libraries do.
        options += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        self.process = processes.start(
            "Azurite",
            [str(node), str(PROGRAM), *options],
            log=log,
            env={**base_environment(log.parent), "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            cwd=log.parent,
            grace=2,
        )
        processes.wait("Azurite's first answer", lambda: answers(self.port), seconds=120)

    def airflow_connection(self, endpoint_url: str | None = None, key: str = KEY) -> str:
        """Return the Airflow connection as JSON; ``endpoint_url`` leads to a proxy in front of the server."""
        return json.dumps(
            {"conn_type": "wasb", "extra": {"connection_string": self._connection_string(endpoint_url, key)}}
        )

    def make_bucket(self, bucket: str) -> None:
        """Make a container."""
        self._client().create_container(bucket)

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Write a blob as somebody else does."""
        self._client().get_blob_client(bucket, name).upload_blob(data, overwrite=True)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return what a container holds, by name."""
        container = self._client().get_container_client(bucket)
        return {name: container.download_blob(name).readall() for name in container.list_blob_names()}

    def _client(self) -> Any:
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient.from_connection_string(self._connection_string())

    def _connection_string(self, endpoint_url: str | None = None, key: str = KEY) -> str:
        endpoint = f"{endpoint_url or self.endpoint_url}/{ACCOUNT}"
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={endpoint};"
        )
