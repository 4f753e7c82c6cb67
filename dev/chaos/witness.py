"""What tasks did, as a server outside of Airflow heard it; it sets off faults by what it has heard.

A fault that waits for the 130th effect comes at the same point of the work on a slow machine and on a fast one.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self


class Effect(NamedTuple):
    """One effect: when, of which item, by which worker, in which instance and try."""

    at: float
    kind: str
    item: str
    host: str
    map_index: int
    attempt: int


class Witness(ThreadingHTTPServer):
    """Counts effects until the ``with`` block is left.

    ``answers`` says what an item is answered in place of ``"go on"``.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Told)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.effects: list[Effect] = []
        self.answers: dict[str, str] = {}
        self._faults: dict[int, Callable[[Effect], None]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def reset(self) -> None:
        """Forget all that was heard, and all that was to follow from it."""
        with self._lock:
            self.effects, self.answers, self._faults = [], {}, {}

    def at(self, number: int, fault: Callable[[Effect], None]) -> None:
        """Have a fault set off, in a thread of its own, when so many effects were heard."""
        with self._lock:
            self._faults[number] = fault

    def heard(self, kind: str = "item") -> Counter[str]:
        """Return how often each item had an effect."""
        return Counter(effect.item for effect in list(self.effects) if effect.kind == kind)

    def tell(self, said: dict[str, Any]) -> str:
        """Take down an effect and return the answer."""
        effect = Effect(
            time.time(), said["kind"], str(said["item"]), said["host"], said["map_index"], said["try"]
        )
        with self._lock:
            self.effects.append(effect)
            fault = self._faults.pop(len(self.effects), None)
        if fault:
            threading.Thread(target=fault, args=(effect,), daemon=True).start()
        return self.answers.get(effect.item, "go on")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Told(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Witness

    def do_POST(self) -> None:  # noqa: N802 - http.server calls it so
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.server.tell(said)).encode()
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        # Whoever told it may have been killed.
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
