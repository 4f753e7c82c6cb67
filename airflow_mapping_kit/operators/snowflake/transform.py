"""Statements that follow a load, in one transaction that ends with its task."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.owners import check_try, giving_way, owner_of
from airflow_mapping_kit.compat import BaseOperator, bad_input_fails_at_once
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.snowflake.hook import check_session, connect
from airflow_mapping_kit.operators.snowflake.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.utils.context import Context


class TransformOperator(BaseOperator):
    """Run statements in Snowflake in one transaction, and cancel them when the task is stopped.

    Airflow's own operator continues and commits if Airflow 3 stops its task, because Airflow 3 raises nothing in it.
    In Snowflake a statement that defines something, such as `CREATE TABLE`, commits the statements before it.

    ```python
    TransformOperator(task_id="transform", sql="INSERT INTO days SELECT ...; DELETE FROM ...")
    ```

    returns nothing.

    :param sql: one or more statements, or a `.sql` file with them (templated)
    :param schema: the schema of names that have none; by default the connection's (templated)
    :param database: the database of names that have none; by default the connection's (templated)
    :param warehouse: the warehouse; by default the connection's (templated)
    :param role: the role; by default the connection's (templated)
    :param query_tag: the tag of the statements in Snowflake's query history (templated)
    :param snowflake_conn_id: the Airflow connection (templated)
    :param hook_params: further arguments of `SnowflakeHook` (templated)
    :raises TargetError: if there is no statement
    :raises AirflowException: if the task is stopped
    """

    template_fields = (
        "sql",
        "schema",
        "database",
        "warehouse",
        "role",
        "query_tag",
        "snowflake_conn_id",
        "hook_params",
    )
    template_fields_renderers = {"sql": "sql"}  # noqa: RUF012  Airflow declares it so
    template_ext = (".sql",)
    ui_color = "#d9f2fb"
    _session: Session | None = None
    _killed = False

    def __init__(
        self,
        *,
        sql: str,
        schema: str | None = None,
        database: str | None = None,
        warehouse: str | None = None,
        role: str | None = None,
        query_tag: str | None = None,
        snowflake_conn_id: str = "snowflake_default",
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.schema = schema
        self.database = database
        self.warehouse = warehouse
        self.role = role
        self.query_tag = query_tag
        self.hook_params = hook_params
        self.snowflake_conn_id = snowflake_conn_id

    def execute(self, context: Context) -> None:
        """Run the statements."""
        from snowflake.connector.util_text import split_statements

        # With them, a comment after the last semicolon would be a statement.
        split = split_statements(StringIO(self.sql), remove_comments=True)
        statements = [statement for statement, _ in split if statement.strip(" \t\r\n;")]
        owner = owner_of(context)
        with giving_way(owner), bad_input_fails_at_once():
            if not statements:
                raise TargetError(f"sql={self.sql!r} holds no statement")
            check_session(self.query_tag, self.hook_params)
            self._session = Session(lambda: connect(self), ended=lambda: self._killed)
            with self._session as session:
                for statement in ("BEGIN", *statements, "COMMIT"):
                    if statement == "COMMIT":
                        check_try(context, owner)
                    self.log.info("Running: %s", statement)
                    session.run(statement)
                    self.log.info("Snowflake ran it as query %s", session.query_id)

    def on_kill(self) -> None:
        """Cancel what runs in the warehouse, and commit nothing more."""
        self._killed = True
        if self._session is not None:
            self._session.cancel()
