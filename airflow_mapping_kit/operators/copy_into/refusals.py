"""What Snowflake refuses for good, told from what a retry may cure."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

# SQLSTATE classes of an error that the same statement on the same files would raise again: no such object, a
# feature that isn't there, data that doesn't fit, syntax and privileges.
_FOR_GOOD = ("02", "0A", "22", "42")


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Raise what Snowflake refuses for good as a TargetError; let pass what a retry may cure.

    :param what: what was asked of it, for the error.
    """
    from snowflake.connector import errorcode, errors

    try:
        yield
    except errors.DatabaseError as error:
        # A line that can't be opened is an OperationalError; the class itself, with this number, is a login
        # refused. Trying that again would lock the user out.
        login = type(error) is errors.DatabaseError and error.errno == errorcode.ER_FAILED_TO_CONNECT_TO_DB
        if login or (error.sqlstate or "")[:2] in _FOR_GOOD:
            raise TargetError(f"{what}: {error}") from error
        raise
