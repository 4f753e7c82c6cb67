"""A local HTTP API, as `dags/api_endpoints.py` asks one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stack.environment import base_environment
from stack.ports import LOOPBACK, answers, free_port

if TYPE_CHECKING:
    from stack.processes import Processes

SERVER = Path(__file__).with_name("api_server.py")


class Api:
    """A running server on the loopback.

    :param processes: the parts it belongs to.
    :param log: where its log goes.
    """

    def __init__(self, processes: Processes, log: Path) -> None:
        self.port = free_port()
        self.process = processes.start(
            "The API",
            [sys.executable, "-I", str(SERVER), str(self.port)],
            log=log,
            env=base_environment(log.parent),
            cwd=log.parent,
            grace=2,
        )
        processes.wait("The API's first answer", lambda: answers(self.port), seconds=60)

    @property
    def airflow_connection(self) -> str:
        """The Airflow connection as JSON, for an ``AIRFLOW_CONN_...`` variable."""
        return json.dumps({"conn_type": "http", "host": LOOPBACK, "port": self.port, "schema": "http"})
