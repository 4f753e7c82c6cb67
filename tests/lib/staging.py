"""What mapped instances stage for a table and what the fan-in does with it, without a scheduler."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.tables import formats
from airflow_mapping_kit.tables.folder import Folder
from airflow_mapping_kit.tables.lookup import TableOperator
from airflow_mapping_kit.tables.staged import prefix, run_of
from airflows import DAG
from instances import INSTANCE

# Of 5,000 rows three files.
SEVERAL = {"file_size_bytes": 1, "row_group_size": 2048, "compression": "gzip"}
SEVERAL_GROUPS = {("GZIP", 2048), ("GZIP", 904)}


def looked_up(kind, dimensions=None, **arguments):
    """Return a table as the task returns it that looks it up."""
    with DAG("looked_up", schedule=None):
        operator = TableOperator(task_id="table", kind=kind, arguments=arguments, dimensions=dimensions)
    return operator.execute({})


class Staging:
    """A run whose instances stage for a table.

    :param table: as it was looked up
    :param run_id: of the run
    """

    def __init__(self, table, run_id="run"):
        self.table, self.run_id = table, run_id
        self.run = run_of("dag", run_id, "load")
        self.prefix = prefix(table, self.run)

    def stage(self, sql, *partitions, **arguments):
        """Return what the instances return."""
        with DAG("dag", schedule=None):
            operator = DuckDBPartitionOperator(
                task_id="load", sql=sql, partition={}, target=self.table, on_empty="replace", **arguments
            )
        instance = SimpleNamespace(**{**vars(INSTANCE), "dag_id": "dag", "run_id": self.run_id})
        found = []
        for partition in partitions:
            operator.partition = partition
            found.append(operator.execute({"ti": instance, "task": operator}))
        return found

    def publish(self, pieces):
        """Publish as the fan-in does, and return what it says."""
        return formats.publish(self.table, pieces, self.run)


def stage_killed(run, sql, partition, size):
    """Stage in a process of its own that is killed when so many bytes are there, and return its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["staging"])
    process = context.Process(target=run.stage, args=(sql, partition))
    process.start()
    while process.is_alive() and sum(Folder(run.prefix, None).files().values()) < size:
        time.sleep(0.002)
    process.kill()
    process.join()
    return process.exitcode


def publish_killed(kind, run, pieces, step):
    """Publish in a process of its own that is killed at a step, and return its exit code.

    :param step: `"before commit"`, `"after clean"`.
    """
    # Neither deltalake nor DuckDB live through a fork.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"airflow_mapping_kit.tables.{kind}.publish", "staging"])
    # The server that forks may have been started before the test set its variables.
    settings = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_")}
    process = context.Process(target=_publish, args=(kind, run.table, pieces, run.run, step, settings))
    process.start()
    process.join()
    return process.exitcode


def _publish(kind, table, pieces, run, step, settings):
    os.environ.update(settings)
    moment, name = step.split()
    holder, attribute, beginning = _steps(kind)[name]
    original = getattr(holder, attribute)

    def killing(*args, **kwargs):
        if beginning and not str(args[-1]).startswith(beginning):
            return original(*args, **kwargs)
        found = original(*args, **kwargs) if moment == "after" else None
        os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(holder, attribute, killing)
    formats.publish(table, pieces, run)


def _steps(kind):
    """Return where each step of publishing is called from, and how its argument begins."""
    clean = {"clean": (os, "unlink", "")}
    if kind == "delta":
        from deltalake import DeltaTable

        return {
            **clean,
            "look": (DeltaTable, "get_add_actions", ""),
            "commit": (DeltaTable, "create_write_transaction", ""),
        }
    from airflow_mapping_kit.tables.ducklake.attached import Lake

    statements = {
        "begin": "BEGIN",
        "delete": "DELETE",
        "add": "CALL ducklake_add",
        "commit": "COMMIT",
    }
    return {**clean, **{name: (Lake, "rows", beginning) for name, beginning in statements.items()}}
