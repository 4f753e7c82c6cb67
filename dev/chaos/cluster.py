"""An Airflow on Celery whose parts can be struck, and the servers that its tasks work on, some behind proxies."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from chaos.snowflake_proxy import SnowflakeProxy
from chaos.witness import Witness
from fault_proxy import fault_proxy
from stack import landing
from stack.airflow import AIRFLOW_3, FINISHED_RUN, Airflow
from stack.catalog import Catalog
from stack.celery import start_workers, wait_for_workers
from stack.ports import LOOPBACK, free_port
from stack.postgres import Postgres
from stack.processes import Processes
from stack.redis import Redis
from stack.s3 import ACCESS_KEY, S3, SECRET_KEY
from stack.snowflake import Snowflake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from stack.processes import Process

HERE = Path(__file__).parent
INCLUDE = HERE.parents[1] / "include"
BUCKET = "lake"
# Seconds until it is given up that something comes: this is about what comes of it, and machines are busy.
PATIENCE = 900.0
# What starts beside a scheduler, as experiments call it.
BESIDE = {"The DAG processor": "processor", "The API server": "api-server"}
# A lost task is noticed within a minute instead of five; the rest is as the docs tell users of Celery.
NOTICED = 25
SETTINGS = {
    "CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
    "SCHEDULER__SCHEDULE_AFTER_TASK_EXECUTION": "True",
    # What a scheduler leaves that is killed, the next one takes over then.
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    **(
        {
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(NOTICED),
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "4",
        }
        if AIRFLOW_3
        else {
            "SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": str(NOTICED),
            "SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "10",
        }
    ),
}


class Cluster:
    """Servers, schedulers, workers and a triggerer, all ended when the ``with`` block is left.

    :param folder: a folder of its own, emptied before.
    :param workers: how many of Celery's; none is LocalExecutor.
    :param schedulers: how many.
    :param settings: more settings of Airflow.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 3,
        schedulers: int = 1,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self.parts: dict[str, Process] = {}
        self._workers, self._schedulers = workers, schedulers
        self._settings = {**SETTINGS, **(settings or {})}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.witness = self._stack.enter_context(Witness())
        self.processes = self._stack.enter_context(Processes())
        self.postgres = Postgres(
            self.processes,
            self.folder / "postgres.log",
            # A crash is what some of it is about; and a wait for a lock of more than a second is written down.
            settings={"synchronous_commit": "on", "log_lock_waits": "on", "deadlock_timeout": "1s"},
        )
        self.s3 = S3(self.processes, self.folder / "s3.log")
        self.s3.make_bucket(BUCKET)
        self.s3_proxy = self._stack.enter_context(fault_proxy(self.s3.endpoint_url))
        self.snowflake = Snowflake(
            self.processes,
            self.folder / "snowflake.log",
            s3_endpoint_url=self.s3.endpoint_url,
            s3_access_key=ACCESS_KEY,
            s3_secret_key=SECRET_KEY,
        )
        self.snowflake.sql(f"CREATE STAGE landing URL = 's3://{BUCKET}/landing/'")
        self.snowflake_proxy = self._stack.enter_context(SnowflakeProxy(self.snowflake))
        self._catalog_port = free_port()
        catalog_proxy = fault_proxy(f"http://{LOOPBACK}:{self._catalog_port}")
        self.catalog_proxy = self._stack.enter_context(catalog_proxy)
        self._warehouse = json.loads(self.postgres.make_database("warehouse"))
        redis = Redis(self.processes, self.folder / "redis.log") if self._workers else None
        self.airflow = Airflow(
            self.processes,
            self.postgres,
            home=self.folder / "airflow",
            dags_folder=HERE / "dags",
            connections={
                "chaos_catalog": Catalog.airflow_connection_by(self.catalog_proxy.url),
                "chaos_s3": self.s3.airflow_connection_by(self.s3_proxy.url),
                "chaos_snowflake": json.dumps(self.snowflake.connection(port=self.snowflake_proxy.port)),
                "chaos_warehouse": json.dumps(self._warehouse),
            },
            settings=self._settings,
            env={
                "CHAOS_INCLUDE": str(INCLUDE),
                "AWS_EC2_METADATA_DISABLED": "true",
                **self.snowflake.environment,
            },
            **({"broker_url": redis.url} if redis else {}),
        )
        # To make its tables Airflow needs two connections, also where its parts are to do with one.
        overflow = "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW"
        given = self.airflow.environment.pop(overflow, None)
        self.airflow.migrate()
        if given:
            self.airflow.environment[overflow] = given
        self._start_parts()

    def _start_parts(self) -> None:
        environment = self.airflow.environment
        environment["PGAPPNAME"] = "scheduler"
        self.parts["scheduler"] = self.airflow.start_scheduler()
        for number in range(2, self._schedulers + 1):
            options = {"folder": self.airflow.parts, "log": f"scheduler-{number}.log"}
            name = f"scheduler-{number}"
            self.parts[name] = self.airflow.start(name, "scheduler", "--skip-serve-logs", **options)
        environment["PGAPPNAME"] = "triggerer"
        self.parts["triggerer"] = self.airflow.start_triggerer()
        for part in self.processes:
            if part.name in BESIDE:
                self.parts[BESIDE[part.name]] = part
        environment["PGAPPNAME"] = "worker"
        if self._workers:
            self.workers = start_workers(self.airflow, self._workers)
            wait_for_workers(self.airflow, self.workers, seconds=PATIENCE)
            self.parts |= self.workers
        self.sql(
            "INSERT INTO slot_pool (pool, slots, include_deferred) VALUES ('chaos', 64, false) RETURNING id"
        )

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog of tables, started by the first work that asks for it."""
        return Catalog(
            self.processes,
            self.folder / "catalog.log",
            warehouse=f"s3://{BUCKET}/tables",
            storage={**self.s3.iceberg_storage, "s3.endpoint": self.s3_proxy.url},
            port=self._catalog_port,
        )

    @contextlib.contextmanager
    def heard_alone(self) -> Iterator[Self]:
        """Give the same cluster with a witness of its own, for what runs beside others."""
        with Witness() as witness:
            other = copy.copy(self)
            other.witness = witness
            yield other

    def fresh(self) -> None:
        """Forget what was heard, and have all servers answer."""
        self.witness.reset()
        self.s3_proxy.reset()
        self.catalog_proxy.reset()
        self.snowflake_proxy.reset()

    def keep(self, folder: Path) -> None:
        """Copy the logs of all parts, to look at later."""
        shutil.copytree(self.airflow.parts, folder / "parts", dirs_exist_ok=True)
        for log in self.folder.glob("*.log"):
            shutil.copy(log, folder)

    # -- What is asked and done

    def sql(self, statement: str, parameters: Any = ()) -> list[dict[str, Any]]:
        """Run a statement on Airflow's database, as soon as that answers."""
        return self.until("an answer of the database", lambda: [self.postgres.query(statement, parameters)])[
            0
        ]

    def warehouse(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on the database that the connection `chaos_warehouse` is of, and return its rows."""
        place = self._warehouse
        connection = psycopg2.connect(host=place["host"], user=place["login"], dbname=place["schema"])
        with contextlib.closing(connection), connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def until(
        self, what: str, ready: Callable[[], Any], *, seconds: float = PATIENCE, every: float = 0.3
    ) -> Any:
        """Ask again and again until the answer is true, and return it.

        :raises TimeoutError: if it takes longer.
        """
        deadline = time.monotonic() + seconds
        while True:
            # The database may be what was struck.
            with contextlib.suppress(psycopg2.Error):
                if value := ready():
                    return value
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
            time.sleep(every)

    def trigger(self, dag_id: str, run_id: str, **conf: Any) -> None:
        """Trigger a run of a DAG as soon as that has been read."""
        self.airflow.wait_for_dag(dag_id, seconds=PATIENCE)
        self.airflow.trigger(dag_id, run_id=run_id, conf=conf)

    def ended(self, dag_id: str, run_id: str, *, seconds: float = PATIENCE) -> str | None:
        """Wait until a run has ended and return its state, `None` if it does not."""

        def state() -> str | None:
            now = self.airflow.run(dag_id, run_id)["state"]
            return now if now in FINISHED_RUN else None

        with contextlib.suppress(TimeoutError):
            return str(self.until(f"the end of {dag_id} {run_id}", state, seconds=seconds))
        return None

    def instances(self, dag_id: str, run_id: str, task_id: str | None = None) -> list[dict[str, Any]]:
        """Return the instances of a run."""
        return self.sql(
            """
            SELECT task_id, map_index, state, rendered_map_index, try_number, hostname, end_date
              FROM task_instance
             WHERE dag_id = %(dag)s AND run_id = %(run)s AND (%(task)s IS NULL OR task_id = %(task)s)
             ORDER BY task_id, map_index
            """,
            {"dag": dag_id, "run": run_id, "task": task_id},
        )

    def report(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return the report of a fan-in, without results if there is none."""
        try:
            return dict(self.airflow.xcom(dag_id, run_id, task_id))
        except LookupError:
            return {"total": 0, "succeeded": 0, "failed": 0, "results": []}

    def seconds_after(self, dag_id: str, run_id: str, at: float) -> float:
        """Return how many seconds after a moment a run has ended."""
        end = self.airflow.run(dag_id, run_id)["end_date"]
        return max(end.timestamp() - at, 0.0) if end else 0.0

    def busiest(self, run_ids: list[str]) -> str:
        """Return the name of the worker with the most running pieces of some runs."""
        query = """
            SELECT hostname, count(*) AS n FROM task_instance
             WHERE run_id = ANY(%s) AND state = 'running' AND hostname = ANY(%s)
               AND (map_index >= 0 OR task_id = 'trigger')
             GROUP BY 1 ORDER BY 2 DESC, 1
        """
        return str(self.until("work", lambda: self.sql(query, [run_ids, list(self.workers)]))[0]["hostname"])

    def revive(self) -> list[str]:
        """Start again what has ended by itself, as an init system or Kubernetes would, and return what that was."""
        dead = [name for name, part in self.parts.items() if not part.running]
        for name in dead:
            self.parts[name].restart()
        return dead

    def land(self, prefix: str, days: int) -> dict[str, bytes]:
        """Put the flights of some days where `chaos_copy` looks for them, and return the files by key."""
        files = landing.split(INCLUDE / "data" / "flights-2013-01.csv.gz")
        chosen = {
            key.replace("landing/", f"landing/{prefix}/"): body
            for key, body in files.items()
            if int(key[14:16]) <= days
        }
        client = self.s3.client()
        for key, body in chosen.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body)
        return chosen
