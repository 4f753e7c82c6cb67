"""What the errors of databases' drivers mean: the same again, a conflict, or something that may pass."""

from __future__ import annotations

import re

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import MappingKitError, QueryError, TargetError

# Classes of SQLSTATE that the same statement on the same rows would raise again.
_AGAIN = {"02", "0A", "21", "22", "23", "2B", "42", "44"}
_CONFLICT = {"40001", "40P01"}
# Where a driver has no SQLSTATE, as that of SQLite.
_AGAIN_BY_NAME = {
    "DataError",
    "IntegrityError",
    "NotSupportedError",
    "ProgrammingError",
    "TypeError",
    "ValueError",
}
_AGAIN_BY_TEXT = re.compile(
    r"syntax error|no such |has no column|unrecognized token|incomplete input|misuse of"
)
_LOCKED = re.compile(r"database (?:table )?is locked")
_LOGIN = re.compile(
    r"authentication failed|no password supplied|incorrect username or password|"
    r"(?:role|user|database) \S+ does not exist",
    re.IGNORECASE,
)
_MISFIT = re.compile(
    r'column "(?P<column>.+)" is of type (?P<type>.+) but expression is of type (?P<other>.+)'
)
_NO_RIGHT = "42501"
_NO_OPERATOR = "42883"


class ConflictError(AirflowException):
    """Another transaction was in the way: the same one, begun again, may pass."""


def refusal(error: Exception, what: str, kind: type[MappingKitError] = QueryError) -> Exception:
    """Return the error to raise in place of a driver's.

    :param what: what was being done, for the text
    :param kind: what the error is if the same would come again
    :return: one of that kind; a `ConflictError`, if another transaction was in the way; else an `AirflowException`
    """
    said, state = str(error).strip(), _state(error)
    if state in _CONFLICT or (not state and _LOCKED.search(said)):
        return ConflictError(f"{what}: another transaction was in the way: {said}")
    if state == _NO_RIGHT:
        return TargetError(f"{what}: {said}\nGive the connection's user that right")
    again = state[:2] in _AGAIN if state else _is_again(error, said)
    if again:
        return kind(f"{what}: {said}{_remedy(state, said)}")
    return AirflowException(f"{what}: {said}")


def login_refusal(error: Exception, conn_id: str) -> Exception:
    """Return the error to raise where no connection could be made."""
    said, state = str(error).strip(), _state(error)
    if state[:2] in {"28", "3D"} or _LOGIN.search(said):
        return TargetError(
            f"the database refuses the connection {conn_id!r}: {said}\nCheck its user, password and database"
        )
    return AirflowException(f"can't connect to the database of the connection {conn_id!r}: {said}")


def _state(error: Exception) -> str:
    # psycopg2, and all others that have it.
    return getattr(error, "pgcode", None) or getattr(error, "sqlstate", None) or ""


def _is_again(error: Exception, said: str) -> bool:
    return type(error).__name__ in _AGAIN_BY_NAME or bool(_AGAIN_BY_TEXT.search(said))


def _remedy(state: str, said: str) -> str:
    if misfit := _MISFIT.search(said):
        column, column_type = misfit["column"], misfit["type"]
        return f"\nWrite CAST({column} AS {column_type}) AS {column} in the query"
    if state == _NO_OPERATOR:
        return (
            "\nA value that has another type than its column needs a cast: where the query compares them CAST(... AS "
            "...), for a dimension types={'name': 'TEXT'}"
        )
    return ""
