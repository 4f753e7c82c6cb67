"""A real metadata database in this process, and a way to run a DAG's tasks against it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from pathlib import Path

import pendulum
import pytest


@pytest.fixture(scope="session")
def metadata_db():
    """Make Airflow's tables in the SQLite database of the tests' own Airflow home."""
    from airflow.utils import db

    logging.disable(logging.WARNING)
    with Path(os.devnull).open("w") as devnull, contextlib.redirect_stdout(devnull):
        db.initdb()
    logging.disable(logging.NOTSET)


class Run:
    """A DAG run whose tasks are run one by one in this process, as a worker would."""

    def __init__(self, dag, **dag_run):
        from airflow.utils.state import DagRunState
        from airflow.utils.types import DagRunType

        dag.sync_to_db()
        dag_run.setdefault("run_type", DagRunType.MANUAL)
        dag_run.setdefault("execution_date", pendulum.now("UTC"))
        dag_run.setdefault("data_interval", (dag_run["execution_date"],) * 2)
        self.dag = dag
        self.dag_run = dag.create_dagrun(
            state=DagRunState.RUNNING,
            run_id=f"run-{next(_numbers)}",
            start_date=pendulum.now("UTC"),
            **dag_run,
        )

    def run(self, task_id):
        """Run one task; return its state and what it pushed."""
        from airflow.exceptions import AirflowException

        instance = self.dag_run.get_task_instance(task_id)
        instance.refresh_from_task(self.dag.get_task(task_id))
        with contextlib.suppress(AirflowException):
            instance.run(ignore_ti_state=True)
        instance.refresh_from_db()
        return instance.state, instance.xcom_pull(task_ids=task_id)


_numbers = itertools.count()


@pytest.fixture
def run_of(metadata_db):
    """Return a function that creates a run of a DAG."""
    return Run


@pytest.fixture
def dag_test(metadata_db, caplog):
    """Return a function that runs a whole DAG and returns its instances by (task, map index)."""

    def run(dag, **kwargs):
        dag_run = dag.test(**kwargs)
        return {(ti.task_id, ti.map_index): ti for ti in dag_run.get_task_instances()}

    return run
