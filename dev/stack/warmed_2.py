"""Airflow's scheduler, warmed up. Runs in Airflow's environment.

LocalExecutor runs every task as a fork of the scheduler. What is imported, found or compiled here once isn't
again by each of its tasks: of some 1.5 CPU-seconds that a task costs, this saves more than a third.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import inspect

from airflow import plugins_manager, settings
from airflow.__main__ import main
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.tasklog import LogTemplate
from airflow.utils.session import create_session

MODULES = (
    "airflow.cli.commands.task_command",
    "airflow.jobs.local_task_job_runner",
    "airflow.task.task_runner.standard_task_runner",
    # What tasks import when they run; some of it is there in some environments only.
    "airflow.providers.amazon.aws.hooks.s3",
    "boto3",
    "duckdb",
    "pandas",
    "snowflake.connector",
    "snowflake.sqlalchemy",
)


def warm_up() -> None:
    """Do what every task does first."""
    for name in MODULES:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    # A hook that reports lineage looks for plugins in every installed package.
    plugins_manager.ensure_plugins_loaded()
    plugins_manager.initialize_hook_lineage_readers_plugins()
    # The AWS hooks look up who calls them; the interpreter keeps which file is which module.
    inspect.stack()
    # The queries find nothing; SQLAlchemy keeps how they are written.
    with create_session() as session:
        session.get(DagRun, 0)
        session.get(LogTemplate, 0)
        session.get(TaskInstance, {"dag_id": "", "task_id": "", "run_id": "", "map_index": 0})
        session.query(TaskInstance).filter_by(dag_id="", task_id="", run_id="", map_index=0).one_or_none()
    settings.engine.dispose()
    # No fork looks through all of this for garbage, or copies it by doing so.
    gc.collect()
    gc.freeze()


warm_up()
main()
