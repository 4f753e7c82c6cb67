"""A real metadata database in this process, and a way to run a DAG against it."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def metadata_db():
    """Make Airflow's tables in the SQLite database of the tests' own Airflow home."""
    from airflow.utils import db

    logging.disable(logging.WARNING)
    with Path(os.devnull).open("w") as devnull, contextlib.redirect_stdout(devnull):
        db.initdb()
    logging.disable(logging.NOTSET)


@pytest.fixture
def dag_test(metadata_db):
    """Return a function that runs a whole DAG and returns its instances by (task, map index)."""

    def run(dag, **kwargs):
        dag_run = dag.test(**kwargs)
        return {(ti.task_id, ti.map_index): ti for ti in dag_run.get_task_instances()}

    return run
