"""The options of a DuckDB that an author may choose, and what each can be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_mapping_kit.exceptions import QueryError
from airflow_mapping_kit.operators.partition.operator import check_names
from airflow_mapping_kit.partitions.sequences import shown

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:b|([kmgt])(?:(i?)b)?)", re.ASCII | re.IGNORECASE)
_POWERS = ("", "k", "m", "g", "t")
# What DuckDB counts with.
_MOST = 2**63 - 1
# What is set elsewhere, or would break what the operator promises.
_ELSEWHERE = {
    **dict.fromkeys(("memory_limit", "max_memory"), "give memory_limit= to the operator"),
    **dict.fromkeys(("threads", "worker_threads"), "give threads= to the operator"),
    "timezone": "give timezone= to the operator",
    "temp_directory": "set [mapping_kit] scratch_folder",
    **dict.fromkeys(
        ("enable_external_access", "disabled_filesystems"),
        "leave it out: with it nothing can be read or written",
    ),
    **dict.fromkeys(
        ("s3_access_key_id", "s3_secret_access_key", "s3_session_token"),
        "keep it in an Airflow connection, and give aws_conn_id= to the operator",
    ),
}
# Of whatever extension: a DAG's file and the page of rendered templates show settings.
_SECRET = re.compile(r".*(token|password|secret|connection_string)", re.IGNORECASE)


def is_template(value: Any) -> bool:
    """Tell whether an argument is known only when the task runs: text with a brace, or what another task returns."""
    if isinstance(value, str):
        return "{" in value
    return not (value is None or isinstance(value, int | float | Mapping | list | tuple | set))


def thread_count(value: Any) -> int:
    """Return a number of threads, which a template gives as text.

    :raises QueryError: if it is none
    """
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise QueryError(f"threads={value!r} is no number of threads: write 1 or more")
    return number


def check_memory_limit(value: Any) -> None:
    """Check that this is a size in memory as DuckDB takes it.

    :raises QueryError: showing it. DuckDB takes what is negative for no limit
    """
    if not isinstance(value, str) or not size_in_bytes(value):
        raise QueryError(f"memory_limit={value!r} is no size: write such as '1GiB' or '500MB'")


def is_count(value: Any) -> bool:
    """Tell whether this is a number of things of which there is at least one."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST


def size_in_bytes(text: str) -> int | None:
    """Return the bytes of a size as DuckDB writes it, `None` if it is none: `1.5 KB` gives 1500, `1KiB` 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    number, unit, binary = match.groups()
    size = int(float(number) * (1024 if binary else 1000) ** _POWERS.index((unit or "").lower()))
    return size if size <= _MOST else None


def check_settings(settings: Any) -> None:
    """Check that settings have names and values that DuckDB can have, and are set nowhere else.

    :raises QueryError: naming the one that can't be
    """
    if settings is None:
        return
    if not isinstance(settings, Mapping):
        raise QueryError(
            f"settings={shown(settings)} is no dict: write {{'http_retries': 5}}, and templates in its values"
        )
    for name, value in settings.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise QueryError(
                f"settings: {shown(name)} is no name of a DuckDB setting: write one such as 'http_retries'"
            )
        if name.lower() in _ELSEWHERE:
            raise QueryError(f"settings: {name!r} can't be set here: {_ELSEWHERE[name.lower()]}")
        if _SECRET.fullmatch(name):
            raise QueryError(
                f"settings: {name!r} can't be set here, where everybody can read it: keep it in an Airflow connection, "
                f"and give duckdb_conn_id= to the operator"
            )
        if value is None or isinstance(value, Mapping | list | tuple | set):
            raise QueryError(
                f"settings: {name}={shown(value)} is no value of a setting: write text, a number or a boolean"
            )


def check_extensions(extensions: Any) -> None:
    """Check that extensions are a list of names.

    :raises QueryError: naming the one that can't be
    """
    if extensions is None:
        return
    check_names("extensions", extensions)
    for name in extensions:
        if not _NAME.fullmatch(name):
            raise QueryError(
                f"extensions: {shown(name)} is no name of a DuckDB extension: write one such as 'httpfs'"
            )
