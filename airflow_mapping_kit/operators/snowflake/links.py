"""The way from a load to the query that Snowflake ran for it."""

from __future__ import annotations

from typing import Any

from airflow_mapping_kit.compat import BaseOperatorLink, xcom_backend

# The XCom of an instance that holds where its query is.
QUERY_URL = "snowflake_query_url"


class QueryLink(BaseOperatorLink):
    """The button *Query in Snowsight* of a load: the statement, its profile, and what it has cost."""

    name = "Query in Snowsight"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002  Airflow's signature
        """Return where Snowsight shows the last query of an instance; nothing where it isn't known.

        :param operator: the load, declared or, in Airflow 2's web server, serialized.
        :param ti_key: the instance, or its key.
        """
        return xcom_backend().get_value(ti_key=ti_key, key=QUERY_URL) or ""
