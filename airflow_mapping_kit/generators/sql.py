"""Rows of a query as a task."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import BaseHook, sql_of
from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.generators.base import GeneratorOperator, generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.utils.context import Context
    from jinja2 import Environment


class SqlRowsOperator(GeneratorOperator):
    """A generator whose `sql` may name a `.sql` file in the DAG's folder or template search path."""

    leaves_batches_to_the_operator = True
    template_fields_renderers = {"op_args": "py", "op_kwargs": "py"}  # noqa: RUF012 -- Airflow's own form

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render as Airflow does, and `sql` from its file: its `template_ext` would take values for files, too."""
        environment = jinja_env or self.get_template_env()
        if content is self.op_kwargs and "sql" in content:
            content = {**content, "sql": sql_of(content["sql"], environment, seen_oids)}
        elif content is self.op_args:
            # After the connection: `sql_rows("warehouse", "todo.sql")`.
            content = [
                *content[:1],
                *(sql_of(sql, environment, seen_oids) for sql in content[1:2]),
                *content[2:],
            ]
        return super().render_template(content, context, jinja_env, seen_oids)


def _rows(
    conn_id: str,
    sql: str,
    parameters: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    batch_size: int | None = None,  # noqa: ARG001 -- the operator makes the batches
) -> Iterator[Any]:
    """Return a dict for each row of a query, through any connection whose hook uses DB-API.

    Dates and times become ISO 8601 text, and decimals and UUIDs become text, so that a row is plain JSON. Column
    names stay as the database returns them. Add an `ORDER BY` to the query, so that a retry makes the same plan.

    It reads 1,000 rows at a time. PostgreSQL keeps the others in a cursor on the server. Other drivers may hold all
    rows in memory.

    :param conn_id: the Airflow connection (templated).
    :param sql: one query, or the name of a `.sql` file (templated).
    :param parameters: values that the driver binds to the query, in the driver's style (templated). Never put
        values into the text of `sql`.
    :param batch_size: how many rows a batch has. Default: single rows, or batches of a chosen size if only batched
        tasks are mapped over them.
    :return: `[{column: value}, ...]`; with `batch_size`, lists of these
    :raises QueryError: if the connection's hook has no cursor, or the query returns no columns, or one twice.
    :raises PartitionError: if a value is not a JSON scalar, or two rows are equal and single rows are mapped over.

    Example: `sql_rows("warehouse", "SELECT country, year FROM todo WHERE state = %(state)s ORDER BY 1, 2",
    parameters={"state": "new"})` gives `[{"country": "Chad", "year": 1952}, ...]`.
    """
    # A DAG's file is loaded again for every mapped instance, and reads nothing.
    from airflow_mapping_kit.sources.queries import query_rows

    connection: Any = BaseHook.get_connection(conn_id)
    hook = connection.get_hook()
    if not hasattr(hook, "get_conn"):
        raise QueryError(f"sql_rows reads from a database, and the connection {conn_id!r} is a {hook!r}.")
    with closing(hook.get_conn()) as session:
        yield from query_rows(session, sql, parameters)


_rows.__name__ = "sql_rows"
sql_rows = generator(_rows, operator_class=SqlRowsOperator)
