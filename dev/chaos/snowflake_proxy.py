"""A proxy in front of the Snowflake server that knows the statements and loses chosen answers."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from stack.snowflake import Snowflake

NOT_PASSED_ON = {"content-length", "transfer-encoding", "date", "server"}


class SnowflakeProxy(ThreadingHTTPServer):
    """A proxy on the loopback until the ``with`` block is left.

    ``lose`` is asked with each statement once the server has carried it out: whether its answer is lost. ``lost`` are
    those whose answers were.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, snowflake: Snowflake) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = snowflake.port
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(snowflake.certificate, snowflake.certificate.with_name("key.pem"))
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.trust = ssl.create_default_context(cafile=snowflake.certificate)
        self.port = int(self.server_address[1])
        self.lock = threading.Lock()
        self.reset()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def reset(self) -> None:
        """Lose nothing from now on."""
        self.lose: Callable[[str], bool] = lambda _: False
        self.lost: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that was killed is meant."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SnowflakeProxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        statement = json.loads(plain).get("sqlText", "") if plain else ""
        upstream = http.client.HTTPSConnection("localhost", self.server.upstream, context=self.server.trust)
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
        with self.server.lock:
            if statement and self.server.lose(statement):
                self.server.lost.append(statement)
                self.close_connection = True
                return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _forward  # noqa: N815 - the base class's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""
