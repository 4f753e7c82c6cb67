"""What is said where a command can't be answered, in place of a traceback."""

from __future__ import annotations

import difflib
import textwrap
from typing import IO, TYPE_CHECKING, Any

import click

from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.printable import lines

if TYPE_CHECKING:
    from collections.abc import Iterable

# The exit status of an answer that somebody should look at.
FAILED = 1
_NEAR = 5
_WIDTH = 80


class Failure(click.ClickException):
    """A command can't be answered: the message says why, and what to do."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, no wider than a terminal."""
        click.echo(_filled(lines(f"Error: {self.format_message()}")), file=file, err=file is None)


def near(name: str, known: Iterable[str]) -> str:
    """Return a sentence about the names that are like one that doesn't exist; empty where there are none.

    `near("flihgts", ["flights"])` gives ` Did you mean flights?`.
    """
    names = list(dict.fromkeys(known))
    alike = difflib.get_close_matches(name, names, n=_NEAR, cutoff=0.6)
    alike += [other for other in names if name and name in other and other not in alike]
    if alike:
        return f" Did you mean {' or '.join(alike[:_NEAR])}?"
    if 0 < len(names) <= _NEAR:
        return f" Known: {', '.join(names)}."
    return ""


def said_of(error: Exception) -> str | None:
    """Return one sentence about an error of Airflow's or its database's, `None` of one that is our own fault."""
    if isinstance(error, MappingKitError):
        return str(error)
    from airflow.exceptions import AirflowException
    from sqlalchemy.exc import (
        ArgumentError,
        DBAPIError,
        NoSuchModuleError,
        OperationalError,
        ProgrammingError,
    )

    if isinstance(error, DBAPIError):
        if isinstance(error, OperationalError | ProgrammingError) and _no_tables(error):
            return (
                f"Airflow's metadata database {_address()} has no tables of Airflow's: is it the one that your "
                f"Airflow uses? See AIRFLOW_HOME and [database] sql_alchemy_conn, or ask its webserver with --api."
            )
        return (
            f"Airflow's metadata database {_address()} can't be asked: {_first_line(error.orig)}. See [database] "
            f"sql_alchemy_conn; where only the webserver can be reached, use --api."
        )
    if isinstance(error, ArgumentError | NoSuchModuleError):
        return f"[database] sql_alchemy_conn is no address of a database: {_first_line(error)}."
    if isinstance(error, AirflowException):
        return f"Airflow says: {_first_line(error)}"
    return None


def _no_tables(error: Any) -> bool:
    text = str(error.orig)
    return "no such table" in text or ("relation" in text and "does not exist" in text) or "1146" in text


def _address() -> str:
    from airflow import settings

    # The password is not in it.
    return repr(settings.engine.url)


def _first_line(error: object) -> str:
    from airflow_mapping_kit.compat import redacted

    # An address that can't be read may have a password in it.
    return (redacted(str(error)).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _filled(text: str) -> str:
    return "\n".join(
        textwrap.fill(line, _WIDTH, break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
