"""What Snowflake refuses for good, told from what a retry may cure."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.printable import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOGIN = "Check the Airflow connection's account, user and password or private key."
_NAMES = "Check the names of the table, the stage and the file format, and that the role may use them."
# SQLSTATE classes of an error that the same statement on the same files would raise again, and what to do.
_FOR_GOOD = {
    "02": _NAMES,
    "0A": (
        "Snowflake doesn't know this feature: check file_format and the stage. Parquet, JSON, Avro and ORC have no "
        "columns by position: say match_by_column_name='CASE_INSENSITIVE', or select, or load into a table of one "
        "VARIANT column."
    ),
    "22": "Fix the file, or file_format if it doesn't describe the file. Then clear the task.",
    "28": _LOGIN,
    "42": _NAMES,
}


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Raise what Snowflake refuses for good as a TargetError; let pass what a retry may cure.

    :param what: what was asked of it, for the error.
    """
    try:
        from snowflake.connector import errorcode, errors
    except ImportError as error:
        raise TargetError(
            "Snowflake needs Airflow's Snowflake provider where this task runs: "
            "pip install 'airflow-mapping-kit[snowflake]'"
        ) from error
    try:
        yield
    except errors.DatabaseError as error:
        # A line that can't be opened is an OperationalError; the class itself, with this number, is what the
        # connectors before 4.8 make of a login refused. Trying that again would lock the user out.
        login = type(error) is errors.DatabaseError and error.errno == errorcode.ER_FAILED_TO_CONNECT_TO_DB
        remedy = _LOGIN if login else _FOR_GOOD.get((error.sqlstate or "")[:2])
        if remedy is None:
            raise
        # What Snowflake says names files, whose names are strangers': a line of theirs is not to look like the
        # log's. Not with the error beneath, which says it as it is.
        said = "\n    ".join(lines(str(error)).splitlines())
        raise TargetError(f"{what}: {said}\n{remedy}") from None
