"""Which parameters of a query name files, where a value with a `*` would read other files than its own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.tables.database import expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from duckdb import DuckDBPyConnection

# Table functions whose first argument is a path, those of extensions (delta_scan, st_read) too.
READS_FILES = re.compile(r"^(read_|parquet_|sniff_|st_read|glob$)|_scan$")
# What stands for other names in a path, and a component that leaves its directory.
_OTHER_FILES = re.compile(r"[*?\[]|(^|[/\\])\.\.([/\\]|$)")


def path_parameters(connection: DuckDBPyConnection, sql: str) -> frozenset[str]:
    """Return the parameters that are part of a path that the query reads, in lower case.

    `SELECT * FROM read_csv('/raw/' || $customer || '.csv') WHERE day = $day` gives `{"customer"}`.

    :param sql: one `SELECT`
    """
    import duckdb

    try:
        answer = connection.execute(f"SELECT json_serialize_sql({expression(sql)})").fetchone()
    except duckdb.Error:  # a DuckDB that was built without its extension json
        return frozenset()
    # Of a statement that it can't write down (PIVOT) the answer has the error and no tree.
    return frozenset(_in_paths(json.loads(answer[0]))) if answer else frozenset()


def check_paths(key: str, partition: Mapping[str, Any], parameters: frozenset[str]) -> None:
    """Check that no dimension whose value becomes part of a path can stand for other files.

    :param parameters: what `path_parameters` returned
    :raises QueryError: naming the dimension; the key has its value
    """
    for name, value in partition.items():
        if name.lower() in parameters and isinstance(value, str) and _OTHER_FILES.search(value):
            raise QueryError(
                f"partition {key}: ${name} is part of a path that the query reads, where its value stands for "
                f"other files, too: read all of them and filter, FROM read_parquet('.../*.parquet', "
                f"filename = true) WHERE parse_filename(filename, true) = ${name}, which opens only the one "
                f"that is wanted"
            )


def _in_paths(tree: Any) -> Iterator[str]:
    for node in nodes(tree):
        if node.get("type") != "TABLE_FUNCTION":
            continue
        function = node["function"]
        if READS_FILES.search(function["function_name"].lower()):
            for inner in nodes(function["children"][:1]):
                if inner.get("type") == "VALUE_PARAMETER":
                    yield inner["identifier"].lower()


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield what a query's tree is made of, as `json_serialize_sql` gives it."""
    if isinstance(tree, dict):
        yield tree
        for child in tree.values():
            yield from nodes(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from nodes(child)
