"""Airflow 2.10 and 2.11: a scheduler that reads the DAG files too, and commands that work on the database."""

from __future__ import annotations

import json
import pickle
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stack.airflow_any import NOW, AnyAirflow
from stack.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from stack.processes import Process


class Airflow2(AnyAirflow):
    """See `AnyAirflow`."""

    settings: ClassVar[dict[str, str]] = {
        "SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
        # A file is read when it is new or has changed; over and over it would only take CPU time from the tasks.
        "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "3600",
        # Once around for every finished task is dear when the scheduler's own loop comes by within the second.
        "SCHEDULER__SCHEDULE_AFTER_TASK_EXECUTION": "False",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        "WEBSERVER__WORKERS": "1",
        "WEBSERVER__EXPOSE_CONFIG": "False",
        "WEBSERVER__SHOW_TRIGGER_FORM_IF_NO_PARAMS": "True",
        "WEBSERVER__SECRET_KEY": secrets.token_hex(16),
        # A program signs in to the REST API with a password.
        "API__AUTH_BACKENDS": "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth,"
        "airflow.api.auth.backend.session",
    }
    notices_killed_tasks: ClassVar[dict[str, str]] = {
        "SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "20",
        "SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "5",
        "SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "4",
    }
    warmed_up = Path(__file__).with_name("warmed_2.py")
    runs_query = """
        SELECT run_id, run_type, state, conf, execution_date AS logical_date,
               data_interval_start, data_interval_end, start_date, end_date
          FROM dag_run WHERE dag_id = %s ORDER BY execution_date
    """
    reschedules_query = """
        SELECT count(*) AS n FROM task_reschedule WHERE dag_id = %s AND run_id = %s AND task_id = %s
    """

    def start_scheduler(self) -> Process:
        """Start the scheduler, with its executor and its DAG processor, which is a part of its own beside Celery."""
        if self.on_celery:
            self._start("The DAG processor", "dag-processor")
        return self._start_scheduler()

    def start_webserver(self, port: int) -> Process:
        """Start the user interface on a loopback port and wait until it answers."""
        address = f"http://{LOOPBACK}:{port}"
        # Links in logs and notices begin with it.
        self.environment["AIRFLOW__WEBSERVER__BASE_URL"] = address
        process = self._start("The webserver", "webserver", "--hostname", LOOPBACK, "--port", str(port))
        self._wait_until_healthy("The webserver", f"{address}/health")
        return process

    def create_admin(self, name: str) -> str:
        """Create a user who may do everything and return the generated password."""
        password = secrets.token_urlsafe(9)
        # Without a terminal the command reads the password from its input; as an argument `ps` would show it.
        self.command(
            "users", "create", "--role", "Admin", "--username", name,
            "--firstname", name, "--lastname", "Demo", "--email", f"{name}@localhost",
            stdin=f"{password}\n{password}\n",
        )  # fmt: skip
        return password

    def create_users(
        self, roles: Mapping[str, str], *, of_dags: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Create users with their roles and return the generated passwords."""
        passwords = {name: secrets.token_urlsafe(9) for name in roles}
        users = [{"name": name, "role": role, "password": passwords[name]} for name, role in roles.items()]
        self._ask("create_users", users=users, of_dags=dict(of_dags or {}))
        return passwords

    def _trigger(self, dag_id: str, run_id: str, conf: dict[str, Any], logical_date: str | None) -> None:
        if logical_date is None:
            raise ValueError("Every run of Airflow 2 has a logical date.")
        date = None if logical_date == NOW else logical_date
        self._ask("trigger", dag_id=dag_id, run_id=run_id, conf=conf, logical_date=date)

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
        return int(
            self._ask(
                "clear",
                dag_id=dag_id,
                run_id=run_id,
                task_id=task_id,
                map_index=map_index,
                only_failed=only_failed,
                downstream=downstream,
            )
        )

    def _conf(self, stored: Any) -> dict[str, Any]:
        return pickle.loads(bytes(stored)) if stored else {}  # noqa: S301 - written by this Airflow

    def _xcom_value(self, stored: Any) -> Any:
        return json.loads(bytes(stored))

    def log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> str:
        """Return the log of one try."""
        return self.log_path(dag_id, run_id, task_id, map_index, try_number).read_text(errors="replace")
