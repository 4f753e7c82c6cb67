"""Which files a query reads, for lineage: asked only where somebody wants to know."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.lineage.datasets import looks_like_path
from airflow_mapping_kit.operators.duckdb.paths import READS_FILES, nodes
from airflow_mapping_kit.tables.database import expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def files_read(sql: str, shared: Mapping[str, Any]) -> list[str]:
    """Return the paths and globs that a query reads, each once, in their order; what isn't known is a `*` in them.

    `SELECT * FROM read_csv('/raw/' || $customer || '.csv')` gives `["/raw/*.csv"]`.

    :param sql: one `SELECT`
    :param shared: parameters that are no dimensions: a whole path, say
    """
    import duckdb

    with closing(duckdb.connect()) as connection:
        answer = connection.execute(f"SELECT json_serialize_sql({expression(sql)})").fetchone()
    values = {name.lower(): value for name, value in shared.items()}
    return list(dict.fromkeys(_files(json.loads(answer[0]), values))) if answer else []


def _files(tree: Any, shared: Mapping[str, Any]) -> Iterator[str]:
    for node in nodes(tree):
        if node.get("type") == "BASE_TABLE":
            name = node.get("table_name", "")
            if not node.get("schema_name") and looks_like_path(name):
                yield name
        elif node.get("type") == "TABLE_FUNCTION":
            function = node["function"]
            if READS_FILES.search(function["function_name"].lower()):
                for argument in function["children"][:1]:
                    yield from _paths(argument, shared)


def _paths(node: Mapping[str, Any], shared: Mapping[str, Any]) -> list[str]:
    """Return what the argument of a function names: a path, or a list of them."""
    if node.get("function_name") == "list_value":
        return [_text(child, shared) for child in node["children"]]
    given = shared.get(node.get("identifier", "").lower())
    return [str(one) for one in given] if isinstance(given, list) else [_text(node, shared)]


def _text(node: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    if node.get("type") == "VALUE_CONSTANT":
        return str(node["value"].get("value", "*"))
    if node.get("type") == "VALUE_PARAMETER":
        value = shared.get(node["identifier"].lower())
        return value if isinstance(value, str) else "*"
    if node.get("function_name") in ("||", "concat"):
        return "".join(_text(child, shared) for child in node["children"])
    if node.get("type") == "OPERATOR_CAST":
        return _text(node["child"], shared)
    return "*"
