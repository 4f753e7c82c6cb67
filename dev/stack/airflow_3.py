"""Airflow 3: tasks talk to an API server, a processor of its own reads the DAG files, the REST API is the way in."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from stack.airflow_any import NOW, AnyAirflow
from stack.ports import LOOPBACK, free_port
from stack.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from stack.processes import Process

# Who triggers and clears here.
OPERATOR = "stack"


class Airflow3(AnyAirflow):
    """See `AnyAirflow`."""

    settings: ClassVar[dict[str, str]] = {
        "API__SECRET_KEY": secrets.token_hex(16),
        # What every part signs its requests to the others with.
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        # A file is read when it is new or has changed; over and over it would only take CPU time from the tasks.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        # On a small machine all instances at once ask one server, which answers all the same.
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        # A supervisor that misses the end of its task looks again only then, and keeps the task's slot until it does.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    }
    notices_killed_tasks: ClassVar[dict[str, str]] = {
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "4",
    }
    warmed_up = Path(__file__).with_name("warmed_3.py")
    runs_query = """
        SELECT run_id, run_type, state, conf, logical_date,
               data_interval_start, data_interval_end, start_date, end_date
          FROM dag_run WHERE dag_id = %s ORDER BY run_after
    """
    reschedules_query = """
        SELECT count(*) AS n FROM task_reschedule JOIN task_instance ON task_instance.id = ti_id
         WHERE dag_id = %s AND run_id = %s AND task_id = %s
    """

    def __init__(self, *arguments: Any, home: Path, **settings: Any) -> None:
        super().__init__(*arguments, home=home, **settings)
        # Airflow's own auth manager: who there is stands in a setting, and the passwords in a file.
        self._passwords: dict[str, str] = {}
        self._roles: dict[str, str] = {}
        self._password_file = home / "passwords.json"
        self.environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(self._password_file)
        self._address = ""
        self.create_admin(OPERATOR)

    def start_scheduler(self) -> Process:
        """Start the scheduler with its executor, the DAG processor, and an API server if there is none."""
        server = None if self._address else self._start_api_server(free_port())
        self._start("The DAG processor", "dag-processor")
        scheduler = self._start_scheduler()
        if server:
            self._wait_for_api(self._address)
        return scheduler

    def start_webserver(self, port: int) -> Process:
        """Start the API server, which has the user interface too, on a loopback port and wait until it answers."""
        process = self._start_api_server(port)
        self._wait_for_api(f"http://{LOOPBACK}:{port}")
        return process

    def create_users(
        self, roles: Mapping[str, str], *, of_dags: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Name users for the API servers that are still to start; return the generated passwords."""
        if of_dags:
            raise ValueError("Airflow's own auth manager has no roles of single DAGs.")
        passwords = {name: secrets.token_urlsafe(9) for name in roles}
        self._passwords |= passwords
        self._roles |= roles
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(json.dumps(self._passwords))
        users = ",".join(f"{user}:{role.lower()}" for user, role in self._roles.items())
        self.environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = users
        return passwords

    def _start_api_server(self, port: int) -> Process:
        address = f"http://{LOOPBACK}:{port}"
        if not self._address:
            # The first one is what the scheduler and the tasks talk to.
            self._address = address
            self.environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] = f"{address}/execution/"
        self.environment["AIRFLOW__API__BASE_URL"] = address
        return self._start("The API server", "api-server", "--host", LOOPBACK, "--port", str(port))

    def _wait_for_api(self, address: str) -> None:
        self._wait_until_healthy("The API server", f"{address}/api/v2/monitor/health")
        # What tasks talk to is put together at its first request, which takes longer than a task waits for it.
        self._wait_until_healthy("The API server's part for tasks", f"{address}/execution/health")

    def _trigger(self, dag_id: str, run_id: str, conf: dict[str, Any], logical_date: str | None) -> None:
        if logical_date == NOW:
            logical_date = datetime.now(timezone.utc).isoformat()
        wanted = {"dag_run_id": run_id, "conf": conf, "logical_date": logical_date}
        self._post(f"/api/v2/dags/{quote(dag_id)}/dagRuns", wanted)

    def clear(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: int | None = None,
        *,
        only_failed: bool = False,
        downstream: bool = False,
    ) -> int:
        """Clear a task, or one of its mapped instances; return how many were cleared."""
        wanted = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [task_id if map_index is None else [task_id, map_index]],
            "only_failed": only_failed,
            "include_downstream": downstream,
        }
        return int(self._post(f"/api/v2/dags/{quote(dag_id)}/clearTaskInstances", wanted)["total_entries"])

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        signed_in = self._request(
            "/auth/token", {"username": OPERATOR, "password": self._passwords[OPERATOR]}
        )
        return self._request(path, body, Authorization=f"Bearer {signed_in['access_token']}")

    def _request(self, path: str, body: dict[str, Any], **headers: str) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is this stack's own
            self._address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        # Never through a proxy: the server is on the loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise StackError(f"POST {path} was answered with {error.code}: {said}") from error

    def _conf(self, stored: Any) -> dict[str, Any]:
        return stored or {}

    def _xcom_value(self, stored: Any) -> Any:
        return stored

    def log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> str:
        """Return the log of one try, in the words that Airflow 2 has in its file."""
        path = self.log_path(dag_id, run_id, task_id, map_index, try_number)
        return "".join(_as_text(line) for line in path.read_text(errors="replace").splitlines())


def _as_text(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return f"{line}\n"
    where = f"{entry.get('filename', entry.get('logger', ''))}:{entry.get('lineno', '')}"
    text = (
        f"[{entry.get('timestamp')}] {{{where}}} {str(entry.get('level')).upper()} - {entry.get('event')}\n"
    )
    for error in entry.get("error_detail") or ():
        for frame in error.get("frames", ()):
            text += f'  File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}\n'
        text += f"{error['exc_type']}: {error['exc_value']}\n"
    return text
