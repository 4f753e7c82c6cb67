"""An HTTP API for the demo and the tests: some endpoints are slow, fail, or limit how often they are asked.

It runs as a program: `python api_server.py PORT`. Standard library only.

* ``/endpoints``: the names of all others
* ``/data/steady``: answers
* ``/data/slow``: answers after a second
* ``/data/flaky``: answers every second request, the others with 503
* ``/data/limited``: lets one request a second pass, and answers others with 429 and ``Retry-After``
* ``/data/broken``: always 500
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROWS = {
    "steady": [10, 20, 30],
    "slow": [100],
    "flaky": [1, 2],
    "limited": [7],
    "broken": [],
}


class Server(ThreadingHTTPServer):
    """Keeps what was asked before."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        self.lock = threading.Lock()
        self.flaky_requests = 0
        # The first request finds the limit used up, as where others use the API too.
        self.limited_until: float | None = None

    def status(self, endpoint: str) -> tuple[HTTPStatus, dict[str, str]]:
        """Return how a request for an endpoint is answered, and the headers for it."""
        with self.lock:
            if endpoint == "broken":
                return HTTPStatus.INTERNAL_SERVER_ERROR, {}
            if endpoint == "flaky":
                self.flaky_requests += 1
                if self.flaky_requests % 2:
                    return HTTPStatus.SERVICE_UNAVAILABLE, {}
            if endpoint == "limited":
                now = time.monotonic()
                until = now + 1 if self.limited_until is None else self.limited_until
                passes = now >= until
                self.limited_until = now + 1 if passes else until
                if not passes:
                    return HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "1"}
        return HTTPStatus.OK, {}


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server

    def do_GET(self) -> None:  # noqa: N802 - http.server calls it so
        """Answer with JSON."""
        name = self.path.removeprefix("/data/")
        if self.path == "/endpoints":
            self._answer(HTTPStatus.OK, list(ROWS))
        elif name not in ROWS:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"there is no endpoint {self.path}"})
        else:
            status, headers = self.server.status(name)
            if name == "slow":
                time.sleep(1)
            rows = [{"amount": amount} for amount in ROWS[name]]
            self._answer(status, rows if status == HTTPStatus.OK else {"error": status.phrase}, headers)

    def _answer(self, status: HTTPStatus, body: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1]))).serve_forever()
