"""An HTTP proxy on the loopback in front of an S3 server that fails, waits or acts at chosen requests."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPBACK = "127.0.0.1"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}
_CODES = {
    "403": b"SignatureDoesNotMatch",
    "403 denied": b"AccessDenied",
    "412": b"PreconditionFailed",
    "501": b"NotImplemented",
    "503": b"SlowDown",
}

# What happens to a request: the server never sees it, and the client gets an error or a dead connection;
# or the server does it, and the answer is lost. None: nothing.
Fault = Literal["403", "403 denied", "412", "501", "503", "reset", "lost answer", None]


@dataclass(frozen=True)
class Request:
    """One request, as faults choose by it.

    :param number: counts all requests from 1, in the order in which they arrived
    :param kind: `HEAD`, `GET`, `LIST`, `COPY`, `PUT`, `POST`, `DELETE`
    :param path: as it was sent, encoded, with the query
    """

    number: int
    kind: str
    path: str
    headers: dict[str, str]


@dataclass
class FaultProxy:
    """A running proxy.

    :param url: what the client takes for the server
    :param before: called with each request before the server sees it; says what goes wrong, and may change
        the headers
    :param after: called with each request once the server has done it, before its answer goes back
    :param delay: seconds that each request is held up, as a distant server would
    """

    url: str
    before: Callable[[Request], Fault] = lambda _: None
    after: Callable[[Request], object] = lambda _: None
    delay: float = 0.0
    requests: list[Request] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def reset(self) -> None:
        """Forget the faults and the requests, and count from 1 again."""
        self.before = lambda _: None
        self.after = lambda _: None
        self.delay = 0.0
        self.requests = []
        self.numbers = itertools.count(1)


@contextlib.contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Run a proxy in threads of this process, in front of the server at the URL `upstream`."""
    with _Server(upstream) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.proxy
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.proxy = FaultProxy(f"http://{LOOPBACK}:{self.server_address[1]}")
        self.lock = threading.Lock()
        self._upstream = urlsplit(upstream)
        self._local = threading.local()

    def forwarded(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        # A connection a thread, as a client's pool would have.
        if not hasattr(self._local, "connection"):
            connection = http.client.HTTPConnection(str(self._upstream.hostname), self._upstream.port)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._local.connection = connection
        try:
            self._local.connection.request(method, path, body=body, headers=headers)
            answer = self._local.connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except (http.client.HTTPException, OSError):
            self._local.connection.close()
            del self._local.connection
            raise


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: _Server

    def _handle(self) -> None:
        proxy = self.server.proxy
        body = self._body()
        with self.server.lock:
            request = Request(next(proxy.numbers), self._kind(), self.path, dict(self.headers))
            proxy.requests.append(request)
        if proxy.delay:
            time.sleep(proxy.delay)
        fault = proxy.before(request)
        if fault == "reset":
            self._reset()
        elif fault in _CODES:
            error = b"<Error><Code>%s</Code><Message>The proxy says so.</Message></Error>" % _CODES[fault]
            self._answer(int(fault[:3]), [("Content-Type", "application/xml")], error)
        else:
            kept = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
            # The client signed the Host that it sent, so the server has to see that one.
            answer = self.server.forwarded(
                self.command, self.path, kept | {"Content-Length": str(len(body))}, body
            )
            proxy.after(request)
            if fault == "lost answer":
                self._reset()
            else:
                self._answer(*answer)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # As pyarrow writes to S3. The server gets it whole, with its length.
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _kind(self) -> str:
        if self.command == "PUT" and "x-amz-copy-source" in self.headers:
            return "COPY"
        if self.command == "GET" and ("list-type=2" in self.path or "versions" in self.path):
            return "LIST"
        return self.command

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        length = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _reset(self) -> None:
        # Lingering for no time makes the kernel send RST, not FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815 - the base class's names

    def log_message(self, *_: object) -> None:
        """Say nothing: tests read what the client says."""

    def handle(self) -> None:
        # A client that was killed, or whose connection was reset, is meant.
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()
