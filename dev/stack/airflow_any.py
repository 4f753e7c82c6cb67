"""Airflow as far as it is the same in every version: its parts, its commands, its tables."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from datetime import datetime, timezone
from multiprocessing.connection import Client
from pathlib import Path
from typing import TYPE_CHECKING

from stack import celery
from stack.environment import base_environment
from stack.processes import StackError
from stack.sockets import socket_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection
    from typing import Any, ClassVar

    from stack.postgres import Postgres
    from stack.processes import Process, Processes

FINISHED_RUN = frozenset({"success", "failed"})
NOW = "now"
# Where this package is: the process of Airflow's commands finds it there, and nothing else of the checkout.
PARTS_OF_THE_STACK = Path(__file__).resolve().parents[1]

SETTINGS = {
    # Supervisors of tasks wait more than they compute, so there are more of them than cores.
    "CORE__PARALLELISM": "16",
    "CORE__EXECUTOR": "LocalExecutor",
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "CORE__MAX_ACTIVE_TASKS_PER_DAG": "16",
    # A file that is saved twice within half a minute would keep its older DAG, until the file is read again.
    "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "SCHEDULER__CATCHUP_BY_DEFAULT": "False",
    # As many instances may be queued at once as there are slots.
    "SCHEDULER__MAX_TIS_PER_QUERY": "0",
}


class AnyAirflow(ABC):
    """One Airflow on one metadata database.

    :param processes: the parts it belongs to.
    :param postgres: its metadata database.
    :param home: ``AIRFLOW_HOME``: logs go to ``home/logs``, those of the parts to ``home/parts``.
    :param dags_folder: where the DAG files are.
    :param connections: Airflow connections as JSON, by connection id.
    :param settings: more settings, as ``{"CORE__PARALLELISM": "4"}``.
    :param env: more environment variables.
    :param broker_url: of Celery, whose workers then run the tasks (see `stack.celery`); by default the scheduler does.
    """

    # What is different in each version: more settings, those with which it soon notices that the supervisor of a
    # task was killed, how to read the runs of a DAG, how often a task gave its slot back to look again later, and the
    # program that does once what every task does first.
    settings: ClassVar[dict[str, str]]
    notices_killed_tasks: ClassVar[dict[str, str]]
    runs_query: ClassVar[str]
    reschedules_query: ClassVar[str]
    warmed_up: ClassVar[Path]

    def __init__(
        self,
        processes: Processes,
        postgres: Postgres,
        *,
        home: Path,
        dags_folder: Path,
        connections: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        broker_url: str | None = None,
    ) -> None:
        self.processes = processes
        self.postgres = postgres
        self.home = home
        self.dags_folder = dags_folder
        self.logs = home / "logs"
        self.parts = home / "parts"
        self.parts.mkdir(parents=True, exist_ok=True)
        self.on_celery = broker_url is not None
        chosen = {
            **SETTINGS,
            **self.settings,
            **(celery.settings(broker_url) if broker_url else {}),
            "CORE__DAGS_FOLDER": str(dags_folder),
            "DATABASE__SQL_ALCHEMY_CONN": postgres.sqlalchemy_url,
            "LOGGING__BASE_LOG_FOLDER": str(self.logs),
            **(settings or {}),
        }
        self.environment = {
            **base_environment(home),
            "AIRFLOW_HOME": str(home),
            **{f"AIRFLOW__{name}": value for name, value in chosen.items()},
            **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in (connections or {}).items()},
            **(env or {}),
        }
        # Where the process of Airflow's commands answers, once there is one.
        self._socket: str | None = None

    # -- Commands

    def command(self, *arguments: str, stdin: str = "", program: Sequence[str] = ("-m", "airflow")) -> str:
        """Run an Airflow command to its end and return what it printed.

        Raise a StackError with the end of its output if it fails.
        """
        # The working directory is on the module path: not the checkout, whose sources would hide the wheel.
        done = subprocess.run(
            [sys.executable, *program, *arguments],
            env=self.environment,
            cwd=self.parts,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            # Away from the terminal, or it would ask there for what its input has, a password.
            start_new_session=True,
        )
        with (self.parts / "commands.log").open("a") as log:
            log.write(f"$ airflow {' '.join(arguments)}\n{done.stdout}{done.stderr}\n")
        if done.returncode != 0:
            end = "\n".join((done.stderr or done.stdout).splitlines()[-8:])
            raise StackError(
                f"airflow {' '.join(arguments)} failed (exit status {done.returncode}):\n{end}\n"
                f"All of its output: {log.name}"
            )
        return done.stdout

    def migrate(self) -> None:
        """Make the tables."""
        self.command("db", "migrate")

    @abstractmethod
    def start_scheduler(self) -> Process:
        """Start the scheduler with its executor, and what it needs beside it; return the scheduler."""

    def start_triggerer(self) -> Process:
        """Start the triggerer, which deferred tasks need."""
        return self._start("The triggerer", "triggerer", "--skip-serve-logs")

    @abstractmethod
    def start_webserver(self, port: int) -> Process:
        """Start the user interface and the REST API on a loopback port and wait until they answer."""

    def create_admin(self, name: str) -> str:
        """Create a user who may do everything in a web server started from now on; return the generated password."""
        return self.create_users({name: "Admin"})[name]

    @abstractmethod
    def create_users(
        self, roles: Mapping[str, str], *, of_dags: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Create users for the web servers started from now on and return their generated passwords.

        :param roles: the role of each: Admin, Op, User, Viewer, or one of `of_dags`.
        :param of_dags: roles to create that may see and run one DAG alone, which Airflow 2 has: `{role: dag_id}`.
        """

    def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: str | datetime | None = NOW,
    ) -> str:
        """Trigger a run and return its run id.

        :param logical_date: by default now, as in the form of the UI; `None` is none, which Airflow 3 alone has.
        """
        run_id = run_id or f"manual__{datetime.now(timezone.utc).isoformat()}"
        if isinstance(logical_date, datetime):
            logical_date = logical_date.isoformat()
        self._trigger(dag_id, run_id, dict(conf or {}), logical_date)
        return run_id

    @abstractmethod
    def _trigger(self, dag_id: str, run_id: str, conf: dict[str, Any], logical_date: str | None) -> None: ...

    def test(self, dag_id: str, *, conf: Mapping[str, Any] | None = None) -> str:
        """Run a whole DAG in one process, without the scheduler, and return its run id.

        Its instances follow one another and share that process; all else is as in any run. A tenth of the cost.
        """
        self.wait_for_dag(dag_id)
        (row,) = self.postgres.query("SELECT fileloc FROM dag WHERE dag_id = %s", [dag_id])
        return str(self._ask("test", file=row["fileloc"], dag_id=dag_id, conf=dict(conf or {})))

    def unpause(self, dag_id: str) -> None:
        """Let a DAG that was created paused run."""
        if not self.postgres.query(
            "UPDATE dag SET is_paused = false WHERE dag_id = %s RETURNING 1", [dag_id]
        ):
            raise LookupError(f"There is no DAG {dag_id!r}.")

    @abstractmethod
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
        """Clear a task, or one of its mapped instances, so that it runs again; return how many were cleared.

        :param downstream: whether what follows the task is cleared too.
        """

    def _start(self, name: str, *arguments: str) -> Process:
        return self.start(name, *arguments, folder=self.parts, log=f"{arguments[0]}.log")

    def start(
        self,
        name: str,
        *arguments: str,
        folder: Path,
        log: str,
        runs_tasks: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a part of Airflow by its command.

        :param runs_tasks: whether tasks are forks of it, which then find done what every task does first.
        :param env: more environment variables.
        """
        # The text, not the file, which would have `airflow.py`, another `airflow`, first on its path.
        program = ("-c", self.warmed_up.read_text()) if runs_tasks else ("-m", "airflow")
        return self.processes.start(
            name,
            [sys.executable, *program, *arguments],
            log=folder / log,
            env={**self.environment, **(env or {})},
            cwd=folder,
            grace=4,
        )

    def _start_scheduler(self) -> Process:
        # Everything runs on this machine, so logs are read from disk and need no log server.
        return self.start(
            "The scheduler",
            "scheduler",
            "--skip-serve-logs",
            folder=self.parts,
            log="scheduler.log",
            runs_tasks=not self.on_celery,
        )

    def _ask(self, command: str, **arguments: Any) -> Any:
        """Have the process of Airflow's commands do one, and return what it answers."""
        if self._socket is None:
            folder = socket_folder("commands")
            self._socket = str(folder / "socket")
            self.processes.start(
                "Airflow's commands",
                [sys.executable, "-m", "stack.commands", self._socket],
                log=self.parts / "asked.log",
                env={**self.environment, "PYTHONPATH": str(PARTS_OF_THE_STACK)},
                cwd=self.parts,
                remove=folder,
            )
        with self.processes.wait("An answer of Airflow's commands", self._connect, seconds=60) as connection:
            connection.send_bytes(json.dumps({"command": command, "arguments": arguments}).encode())
            try:
                answer = json.loads(connection.recv_bytes())
            except EOFError as error:
                raise StackError(
                    f"Airflow's commands ended before they could {command}: see {self.parts}/asked.log"
                ) from error
        if "error" in answer:
            raise StackError(f"Airflow could not {command} {arguments}: {answer['error']}")
        return answer["result"]

    def _connect(self) -> Connection | None:
        try:
            return Client(self._socket)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    # -- Tables

    def wait_for_dag(self, dag_id: str, *, seconds: float = 90) -> None:
        """Wait until a DAG has been parsed; raise a StackError if its file can't be imported."""

        def parsed() -> bool:
            if self.postgres.query(
                "SELECT 1 FROM dag JOIN serialized_dag USING (dag_id) WHERE dag_id = %s", [dag_id]
            ):
                return True
            for error in self.import_errors():
                last = error["stacktrace"].strip().splitlines()[-1]
                raise StackError(f"Airflow can't import {error['filename']}: {last}\n{error['stacktrace']}")
            return False

        self.processes.wait(f"The first parsing of the DAG {dag_id}", parsed, seconds=seconds)

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that can't be imported, as ``{"filename", "stacktrace"}``."""
        return self.postgres.query("SELECT filename, stacktrace FROM import_error ORDER BY filename")

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG, oldest first.

        Each is ``{"run_id", "run_type", "state", "conf", "logical_date", "data_interval_start",
        "data_interval_end", "start_date", "end_date"}``.
        """
        runs = self.postgres.query(self.runs_query, [dag_id])
        return [{**run, "conf": self._conf(run["conf"])} for run in runs]

    @abstractmethod
    def _conf(self, stored: Any) -> dict[str, Any]: ...

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return one run; raise a LookupError if there is none."""
        for run in self.runs(dag_id):
            if run["run_id"] == run_id:
                return run
        raise LookupError(f"There is no run {run_id!r} of {dag_id!r}.")

    def wait(self, dag_id: str, run_id: str, *, seconds: float = 180) -> str:
        """Wait until a run has finished and return its state, ``success`` or ``failed``."""

        def state() -> str | None:
            now = self.run(dag_id, run_id)["state"]
            return now if now in FINISHED_RUN else None

        return str(self.processes.wait(f"The end of the run {run_id} of {dag_id}", state, seconds=seconds))

    def instances(self, dag_id: str, run_id: str, task_id: str | None = None) -> list[dict[str, Any]]:
        """Return the task instances of a run, by task and map index.

        Each is ``{"task_id", "map_index", "state", "rendered_map_index", "start_date", "end_date", "duration",
        "try_number", "max_tries", "pid", "hostname", "operator"}``.
        """
        return self.postgres.query(
            """
            SELECT task_id, map_index, state, rendered_map_index, start_date, end_date, duration,
                   try_number, max_tries, pid, hostname, operator
              FROM task_instance
             WHERE dag_id = %(dag)s AND run_id = %(run)s AND (%(task)s IS NULL OR task_id = %(task)s)
             ORDER BY task_id, map_index
            """,
            {"dag": dag_id, "run": run_id, "task": task_id},
        )

    def reschedules(self, dag_id: str, run_id: str, task_id: str) -> int:
        """Return how often a task of a run gave its slot back to look again later."""
        return int(self.postgres.query(self.reschedules_query, [dag_id, run_id, task_id])[0]["n"])

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, *, key: str = "return_value"
    ) -> Any:
        """Return what an instance pushed; raise a LookupError if it pushed nothing."""
        rows = self.postgres.query(
            "SELECT value FROM xcom WHERE dag_id = %s AND run_id = %s AND task_id = %s AND map_index = %s AND key = %s",
            [dag_id, run_id, task_id, map_index, key],
        )
        if not rows:
            raise LookupError(f"{task_id}[{map_index}] of the run {run_id!r} pushed no XCom {key!r}.")
        return self._xcom_value(rows[0]["value"])

    @abstractmethod
    def _xcom_value(self, stored: Any) -> Any: ...

    def most_at_once(self, dag_id: str, run_id: str, task_id: str | None = None) -> int:
        """Return the most instances of a run that ran at the same moment."""
        rows = self.postgres.query(
            """
            WITH ran AS (
                SELECT start_date, end_date FROM task_instance
                 WHERE dag_id = %(dag)s AND run_id = %(run)s AND (%(task)s IS NULL OR task_id = %(task)s)
                   AND start_date IS NOT NULL AND end_date IS NOT NULL
            ), changes AS (
                SELECT start_date AS at, 1 AS change FROM ran
                UNION ALL SELECT end_date, -1 FROM ran
            ), running AS (
                SELECT sum(change) OVER (ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS instances FROM changes
            )
            SELECT coalesce(max(instances), 0) AS most FROM running
            """,
            {"dag": dag_id, "run": run_id, "task": task_id},
        )
        return int(rows[0]["most"])

    def log_path(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1
    ) -> Path:
        """Return where the log of one try is."""
        mapped = () if map_index < 0 else (f"map_index={map_index}",)
        folder = self.logs.joinpath(f"dag_id={dag_id}", f"run_id={run_id}", f"task_id={task_id}", *mapped)
        return folder / f"attempt={try_number}.log"

    @abstractmethod
    def log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> str:
        """Return the log of one try."""

    def _wait_until_healthy(self, what: str, address: str) -> None:
        self.processes.wait(f"{what}'s first answer", lambda: _healthy(address), seconds=180, every=0.2)


def _healthy(address: str) -> bool:
    # Never through a proxy: the server is on the loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=5) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except (urllib.error.URLError, OSError):
        return False
