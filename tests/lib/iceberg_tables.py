"""Iceberg tables for tests: made in a catalog, staged for as instances do, and read."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.tables.described import homes_of
from airflow_mapping_kit.tables.iceberg.look import look
from airflow_mapping_kit.tables.staged import prefix, run_of
from instances import INSTANCE


class Lake:
    """A namespace of its own in a catalog.

    :param catalog: pyiceberg's client
    :param conn_id: the Airflow connection of the same catalog
    :param namespace: its name
    """

    def __init__(self, catalog, conn_id, namespace):
        self.catalog, self.conn_id, self.namespace = catalog, conn_id, namespace
        catalog.create_namespace(namespace)

    def create(self, schema, spec=None, name="flights", **settings):
        """Make a table, and return its name."""
        settings = {"partition_spec": spec, **settings} if spec is not None else settings
        return ".".join(self.catalog.create_table(f"{self.namespace}.{name}", schema, **settings).name())

    def look(self, name, branch=None, **dimensions):
        """Look a table up, as it goes from task to task."""
        homes = homes_of(dimensions)
        table = look(name, self.conn_id, homes, branch)
        table["dimensions"] = {dimension: home._asdict() for dimension, home in homes.items()}
        return json.loads(json.dumps(table))

    def table(self, name):
        """Return a table as it is now."""
        return self.catalog.load_table(name)

    def rows(self, name, *columns, **scan):
        """Return the rows of a table, sorted, as dicts, or as values of some columns."""
        found = self.table(name).scan(**scan).to_arrow().to_pylist()
        picked = [tuple(row[column] for column in columns) if columns else row for row in found]
        return sorted(picked, key=repr)


def run_id(number=1):
    """Return what `publish` is told of a run, as instances of `stage` are."""
    return run_of(INSTANCE.dag_id, f"run {number}", "load")


def stage(table, sql, partitions, run=1, **arguments):
    """Stage each partition as an instance of the mapped task does, and return what these return."""
    context = {"ti": SimpleNamespace(**{**vars(INSTANCE), "run_id": f"run {run}"})}
    return [
        json.loads(
            json.dumps(
                DuckDBPartitionOperator(
                    task_id="load",
                    sql=sql,
                    partition=partition,
                    target=table,
                    on_empty="replace",
                    **arguments,
                ).execute(context)
            )
        )
        for partition in partitions
    ]


def staged_files(table, run=1):
    """Return what is staged on disk for a run."""
    return sorted(map(str, Path(prefix(table, run_id(run))).iterdir()))
