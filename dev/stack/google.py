"""A local Google Cloud Storage (gcp-storage-emulator), objects in memory, and the server that Google's logins ask."""

from __future__ import annotations

import contextlib
import itertools
import json
import sysconfig
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from stack.environment import base_environment
from stack.ports import LOOPBACK, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.processes import Processes

PROJECT = "mapkitlocal"


class Google:
    """A running server on the loopback, which takes any token.

    :param processes: the parts it belongs to.
    :param log: where its log goes.
    :param token_uri: where a service account gets its tokens, see `logins`.
    """

    scheme = "gs"

    def __init__(self, processes: Processes, log: Path, token_uri: str) -> None:
        self.port = free_port()
        self.endpoint_url = f"http://{LOOPBACK}:{self.port}"
        self._token_uri = token_uri
        program = Path(sysconfig.get_path("scripts")) / "gcp-storage-emulator"
        self.process = processes.start(
            "Google Cloud Storage",
            [str(program), "start", f"--host={LOOPBACK}", f"--port={self.port}", "--in-memory"],
            log=log,
            env=base_environment(log.parent),
            cwd=log.parent,
            grace=2,
        )
        processes.wait("Google Cloud Storage's first answer", lambda: answers(self.port), seconds=120)

    def airflow_connection(self, endpoint_url: str | None = None, token_uri: str | None = None) -> str:
        """Return the Airflow connection as JSON; ``endpoint_url`` leads to a proxy in front of the server."""
        account = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "none",
            "private_key": _private_key(),
            "client_email": f"loader@{PROJECT}.example",
            "token_uri": token_uri or self._token_uri,
        }
        extra = {
            "keyfile_dict": account,
            "project": PROJECT,
            "gcs.endpoint": endpoint_url or self.endpoint_url,
        }
        return json.dumps({"conn_type": "google_cloud_platform", "extra": extra})

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket."""
        self._asked("POST", "/storage/v1/b", json={"name": bucket})

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Write an object as somebody else does."""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        self._asked("POST", path, content=data)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return what a bucket holds, by name."""
        listed = json.loads(self._asked("GET", f"/storage/v1/b/{bucket}/o")).get("items", [])
        return {
            one["name"]: self._asked(
                "GET", f"/storage/v1/b/{bucket}/o/{quote(one['name'], safe='')}?alt=media"
            )
            for one in listed
        }

    def _asked(self, method: str, path: str, **arguments: object) -> bytes:
        import httpx

        answer = httpx.request(method, f"{self.endpoint_url}{path}", trust_env=False, **arguments)  # type: ignore[arg-type]
        answer.raise_for_status()
        return answer.content


@contextlib.contextmanager
def logins(status: int = 200) -> Iterator[str]:
    """Run what gives tokens to service accounts, each another, and give its URL.

    :param status: of its answers; another than 200 refuses.
    """
    numbers = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802 - the base class's name
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = {
                "access_token": f"token-{next(numbers)}",
                "expires_in": 3600,
                "token_type": "Bearer",
            }
            refusal = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            body = json.dumps(token if status == 200 else refusal).encode()  # noqa: PLR2004
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_address[1]}/token"
        finally:
            server.shutdown()
            thread.join()


def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return (
        rsa.generate_private_key(65537, 2048)
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode()
    )
