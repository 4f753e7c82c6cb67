"""Airflow 3's scheduler, warmed up. Runs in Airflow's environment.

LocalExecutor's workers are forks of the scheduler, and tasks are forks of those: what is imported here once isn't
again by each task.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect

from airflow.__main__ import main
from airflow.sdk import task
from airflow.sdk.listener import get_listener_manager

MODULES = (
    "airflow.cli.commands.scheduler_command",
    "airflow.dag_processing.dagbag",
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
    # What tasks import when they run; some of it is there in some environments only.
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.common.sql.hooks.sql",
    "boto3",
    "duckdb",
    "pandas",
    "snowflake.connector",
)


def warm_up() -> None:
    """Do what every task does first."""
    for name in MODULES:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    # Plugins are looked for in every installed package, and so are the providers of decorators.
    get_listener_manager()
    task.batched  # noqa: B018 - finding it is the work
    # The AWS hooks look up who calls them; the interpreter keeps which file is which module.
    inspect.stack()


warm_up()
main()
