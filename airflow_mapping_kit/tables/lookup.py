"""Tasks that look a table up once for all instances, which then need no catalog."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    BaseOperator,
    XComArg,
    bad_input_fails_at_once,
    get_unique_task_id,
)
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.tables.described import check_names, column_of, homes_of, with_planned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.utils.context import Context

    from airflow_mapping_kit.tables.described import Table


class TableOperator(BaseOperator):
    """Look a table up: where its files go, its columns, and where dimensions live. Made by `iceberg_table` and others.

    :param kind: the format.
    :param arguments: what its `look` takes besides the dimensions (templated)
    :param dimensions: where dimensions live that aren't in the column of their name (templated)
    """

    template_fields = ("arguments", "dimensions")
    ui_color = "#e8f4e8"

    def __init__(
        self, *, kind: str, arguments: Mapping[str, Any], dimensions: Mapping[str, str] | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not known_at_run_time(dimensions):
            homes_of(dimensions)
        self.kind, self.arguments, self.dimensions = kind, dict(arguments), dimensions

    def execute(self, context: Context) -> Table:
        """Return the table as plain JSON."""
        # An instance of the DAG pays for what its file imports: what only this takes waits for it.
        from airflow_mapping_kit.tables import formats
        from airflow_mapping_kit.tables.planned import dimensions_of, unpublished

        with bad_input_fails_at_once():
            if forgotten := unpublished(self):
                raise TargetError(
                    f"{forgotten[0]} stages rows for the table, and no task publishes them: map {forgotten[0]}, and "
                    f"add publish({forgotten[0]}), from airflow_mapping_kit.fan_in."
                )
            homes = with_planned(homes_of(self.dimensions), dimensions_of(self, context))
            table = formats.look(self.kind, self.arguments, homes)
            table["dimensions"] = {name: home._asdict() for name, home in homes.items()}
            check_names(table)
            for dimension in homes:
                column_of(table, dimension)
        self.log.info(
            "%s: %d columns, staged below %s", table["name"], len(table["columns"]), table.get("location")
        )
        return table


def iceberg_table(
    name: str,
    *,
    iceberg_conn_id: str = "iceberg_default",
    dimensions: Mapping[str, str] | None = None,
    branch: str | None = None,
    task_id: str | None = None,
    **operator_arguments: Any,
) -> XComArg:
    """Add a task that looks an Iceberg table up, for `DuckDBPartitionOperator.partial(target=...)`.

    :param name: `namespace.table` (templated)
    :param iceberg_conn_id: the Airflow connection of its catalog: REST or Glue (templated)
    :param dimensions: where dimensions of the plan live: `{"date": "day(departed_at)"}`. By default a dimension is the
        column of the same name (templated)
    :param branch: a branch of the table to publish to, in place of `main`. It must exist (templated)
    :param task_id: by default `table_` and the last part of the name
    :return: the task's output: the table as plain JSON, for `target`
    :raises TargetError: when the task runs, if the table doesn't exist or has no column for a dimension

    Example: `target=iceberg_table("lake.flights", iceberg_conn_id="lake", dimensions={"date": "day(departed_at)"})`.
    """
    arguments = {"name": name, "conn_id": iceberg_conn_id, "branch": branch}
    return _looked_up("iceberg", arguments, dimensions, task_id, operator_arguments)


def delta_table(
    uri: str,
    *,
    aws_conn_id: str | None = "aws_default",
    storage_options: Mapping[str, str] | None = None,
    dimensions: Mapping[str, str] | None = None,
    task_id: str | None = None,
    **operator_arguments: Any,
) -> XComArg:
    """Add a task that looks a Delta table up, for `DuckDBPartitionOperator.partial(target=...)`.

    :param uri: a directory or `s3://bucket/prefix` (templated)
    :param aws_conn_id: the Airflow connection for `s3://`. With `None` boto3 finds the credentials (templated)
    :param storage_options: further options of `deltalake`, without credentials: for example the DynamoDB table that
        locks the log, if other writers of the table use one (templated)
    :param dimensions: the column of a dimension, if its name differs from the dimension (templated)
    :param task_id: by default `table_` and the last part of the URI
    :return: the task's output: the table as plain JSON, for `target`
    :raises TargetError: when the task runs, if the table doesn't exist or isn't partitioned by the dimensions

    Example: `target=delta_table("s3://lake/flights")`.
    """
    arguments = {"name": uri, "aws_conn_id": aws_conn_id, "storage_options": dict(storage_options or {})}
    return _looked_up("delta", arguments, dimensions, task_id, operator_arguments)


def ducklake_table(
    name: str,
    *,
    ducklake_conn_id: str = "ducklake_default",
    aws_conn_id: str | None = "aws_default",
    dimensions: Mapping[str, str] | None = None,
    task_id: str | None = None,
    **operator_arguments: Any,
) -> XComArg:
    """Add a task that looks a DuckLake table up, for `DuckDBPartitionOperator.partial(target=...)`.

    :param name: `schema.table`, or a table of the schema `main` (templated)
    :param ducklake_conn_id: the Airflow connection of the catalog's database: PostgreSQL, or of type `duckdb` with the
        path of a file as its host. `metadata_schema` in its extra is the schema in PostgreSQL (templated)
    :param aws_conn_id: the Airflow connection for a lake in `s3://` (templated)
    :param dimensions: where dimensions of the plan live: `{"date": "day(departed_at)"}`. By default a dimension is the
        column of the same name (templated)
    :param task_id: by default `table_` and the last part of the name
    :return: the task's output: the table as plain JSON, for `target`
    :raises TargetError: when the task runs, if the table doesn't exist or has no column for a dimension

    Example: `target=ducklake_table("flights", ducklake_conn_id="lake")`.
    """
    arguments = {"name": name, "conn_id": ducklake_conn_id, "aws_conn_id": aws_conn_id}
    return _looked_up("ducklake", arguments, dimensions, task_id, operator_arguments)


def sql_table(
    name: str,
    *,
    conn_id: str,
    dimensions: Mapping[str, str] | None = None,
    task_id: str | None = None,
    **operator_arguments: Any,
) -> XComArg:
    """Add a task that looks a database's table up, for `SQLPartitionOperator.partial(table=...)`.

    :param name: the name as in SQL: `schema.table` (templated)
    :param conn_id: the Airflow connection of the database (templated)
    :param dimensions: the column of a dimension, if its name differs from the dimension (templated)
    :param task_id: by default `table_` and the last part of the name
    :return: the task's output: the table as plain JSON, for `SQLPartitionOperator.partial(table=...)`
    :raises TargetError: when the task runs, if the table doesn't exist or has no column for a dimension

    Example: `table=sql_table("flights", conn_id="warehouse")`.
    """
    arguments = {"name": name, "conn_id": conn_id}
    return _looked_up("sql", arguments, dimensions, task_id, operator_arguments)


def _looked_up(
    kind: str,
    arguments: Mapping[str, Any],
    dimensions: Mapping[str, str] | None,
    task_id: str | None,
    operator_arguments: Mapping[str, Any],
) -> XComArg:
    if task_id is None:
        name = arguments["name"]
        last = "" if known_at_run_time(name) else re.split(r"[./]", str(name).rstrip("/"))[-1]
        task_id = _unique(re.sub(r"[^\w-]+", "_", f"table_{last or kind}"), operator_arguments)
    operator = TableOperator(
        kind=kind, arguments=arguments, dimensions=dimensions, task_id=task_id, **operator_arguments
    )
    output: XComArg = operator.output
    return output


def _unique(task_id: str, operator_arguments: Mapping[str, Any]) -> str:
    dag, group = operator_arguments.get("dag"), operator_arguments.get("task_group")
    return get_unique_task_id(task_id, dag, group)
