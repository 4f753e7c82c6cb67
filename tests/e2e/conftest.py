"""An Airflow for end-to-end tests: PostgreSQL, an S3 server, a scheduler, and on demand the workers of Celery."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from fault_proxy import FaultProxy, fault_proxy
from stack.airflow import Airflow
from stack.api import Api
from stack.catalog import Catalog
from stack.celery import start_workers, wait_for_workers
from stack.postgres import Postgres
from stack.processes import Processes
from stack.redis import Redis
from stack.s3 import ACCESS_KEY, S3, SECRET_KEY
from stack.snowflake import Snowflake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).resolve().parents[2]
WHEELHOUSE = PROJECT / "build" / "wheelhouse"
BUCKET = "lake"
S3_CONNECTION = "e2e_s3"
MAPPING_KIT = Path(sys.executable).with_name("mapping-kit")
SETTINGS = {
    # Compressed DAGs are stored with the arguments of `expand` sorted: labels must not depend on their order.
    "CORE__COMPRESS_SERIALIZED_DAGS": "True",
    # Nothing runs by its schedule beside a test that asked for nothing: `run` and `unpause` start it.
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    # A task whose supervisor was killed is noticed within a minute, not within five.
    **Airflow.notices_killed_tasks,
    # Airflow 3 makes virtual environments with uv where there is one, which then wants more than there are wheels of.
    "STANDARD__VENV_INSTALL_METHOD": "pip",
}
# As many instances at once as without Celery: there are tests that hold nearly all of them.
ON_CELERY = {"CORE__PARALLELISM": "16", "CELERY__WORKER_CONCURRENCY": "6"}


class Stack:
    """What the tests use: the parts, the folders, and Airflow's commands and tables.

    ``folder`` is the temporary folder of it all, ``project`` a copy of the project's DAGs and their data, with
    the tests' own DAGs among them: what a DAG writes by default stays out of the checkout;
    ``airflow`` has ``trigger``, ``wait``, ``instances``, ``xcom``, ``log``, ``clear`` and more;
    ``proxy`` stands between the connection to S3 and the server, and fails what a test tells it to.
    """

    def __init__(
        self, processes: Processes, folder: Path, s3: S3, proxy: FaultProxy, *, on_celery: bool
    ) -> None:
        self.folder = folder
        self.project = folder / "project"
        dags = self.project / "dags"
        dags.mkdir(parents=True)
        for path in (*(PROJECT / "dags").glob("*.py"), *(PROJECT / "tests" / "e2e" / "dags").glob("*.py")):
            shutil.copy(path, dags)
        for part in ("data", "sql"):
            shutil.copytree(PROJECT / "include" / part, self.project / "include" / part)
        self.processes = processes
        self.postgres = Postgres(processes, folder / "postgres.log")
        self.s3 = s3
        self.proxy = proxy
        self.s3.make_bucket(BUCKET)
        self.bucket = BUCKET
        self.snowflake = Snowflake(
            processes,
            folder / "snowflake.log",
            s3_endpoint_url=self.s3.endpoint_url,
            s3_access_key=ACCESS_KEY,
            s3_secret_key=SECRET_KEY,
        )
        self.catalog = Catalog(processes, folder / "catalog.log", warehouse=folder / "warehouse")
        self.s3_connection = S3_CONNECTION
        self._warehouse = self.postgres.make_database("warehouse")
        self.airflow = Airflow(
            processes,
            self.postgres,
            home=folder / "airflow",
            dags_folder=dags,
            connections={
                S3_CONNECTION: self.s3.airflow_connection_by(proxy.url),
                "snowflake_default": self.snowflake.airflow_connection,
                "lake": self.catalog.airflow_connection,
                "warehouse": self._warehouse,
                "api": Api(processes, folder / "api.log").airflow_connection,
            },
            settings={**SETTINGS, **(ON_CELERY if on_celery else {})},
            broker_url=Redis(processes, folder / "redis.log").url if on_celery else None,
            # What a task installs comes from the wheels that `make` fetched before.
            env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELHOUSE), **self.snowflake.environment},
        )
        self.airflow.migrate()
        self.airflow.start_scheduler()
        if on_celery:
            wait_for_workers(self.airflow, start_workers(self.airflow))

    def warehouse(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query in the database of the connection `warehouse`."""
        place = json.loads(self._warehouse)
        with (
            closing(
                psycopg2.connect(host=place["host"], user=place["login"], dbname=place["schema"])
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            return cursor.fetchall()

    def tested(self, dag_id: str, **conf: Any) -> str:
        """Run a whole DAG without the scheduler, which adds nothing to it; return the run id once it has succeeded."""
        run_id = self.airflow.test(dag_id, conf=conf)
        self._succeeded(dag_id, run_id, self.airflow.run(dag_id, run_id)["state"])
        return run_id

    def run(self, dag_id: str, *, seconds: float = 240, **trigger: Any) -> str:
        """Trigger a run of a DAG, wait until it has succeeded, and return its run id."""
        self.airflow.wait_for_dag(dag_id)
        self.airflow.unpause(dag_id)
        run_id = self.airflow.trigger(dag_id, **trigger)
        self._succeeded(dag_id, run_id, self.airflow.wait(dag_id, run_id, seconds=seconds))
        return run_id

    def _succeeded(self, dag_id: str, run_id: str, state: str) -> None:
        assert state == "success", [
            i for i in self.airflow.instances(dag_id, run_id) if i["state"] != "success"
        ]


# The tests of these files share one Airflow, those of all others another, and the two run side by side.
APART = {
    "test_batched.py",
    "test_many_items.py",
    "test_batched_dags.py",
    "test_child_runs.py",
    "test_cli.py",
    "test_three_dags.py",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the end-to-end tests, and keep those that share an Airflow in one process."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            group = "apart" if item.path.name in APART else "together"
            item.add_marker(pytest.mark.xdist_group(group))
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Stack]:
    """Start everything once for these tests; it is ended with the last of them."""
    folder = tmp_path_factory.mktemp("stack")
    with Processes() as processes:
        s3 = S3(processes, folder / "s3.log")
        with fault_proxy(s3.endpoint_url) as proxy:
            on_celery = pytestconfig.getoption("--executor") == "celery"
            yield Stack(processes, folder, s3, proxy, on_celery=on_celery)


@pytest.fixture(scope="package")
def airflow(stack: Stack) -> Airflow:
    """Give the running Airflow."""
    return stack.airflow


@pytest.fixture(scope="package")
def mapping_kit(stack: Stack) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command where Airflow is, and gives its status, output and errors."""

    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [MAPPING_KIT, *arguments],
            env={**stack.airflow.environment, **environment},
            cwd=stack.airflow.parts,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run
