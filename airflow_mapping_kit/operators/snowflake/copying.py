"""What is said to `COPY INTO` beside files and table: which columns, and options that keep the promise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.snowflake.names import parse_name, quoted
from airflow_mapping_kit.partitions.sequences import shown

MATCHES = ("CASE_SENSITIVE", "CASE_INSENSITIVE", "NONE")
METADATA = ("FILENAME", "FILE_ROW_NUMBER", "FILE_CONTENT_KEY", "FILE_LAST_MODIFIED", "START_SCAN_TIME")
_LOAD_MODES = ("FULL_INGEST", "ADD_FILES_COPY")
_ALLOWED = ("TRUNCATECOLUMNS", "INCLUDE_METADATA", "LOAD_MODE")
# Why each of the others is none of `copy_options`.
_REFUSED = {
    "ON_ERROR": "a file that is loaded in part or left out isn't loaded: fix the file",
    "FORCE": "it loads a file twice: delete its rows and use on_changed_file='load', or give it a new name",
    "LOAD_UNCERTAIN_FILES": "it may load a file twice: a copy of the file under a new name is no uncertain one",
    "PURGE": "it deletes files before anybody has looked: move them with S3MoveKeysOperator",
    "SIZE_LIMIT": "it leaves out files that were asked for: pass fewer keys",
    "RETURN_FAILED_ONLY": "every file has to be in the answer",
    "VALIDATION_MODE": "it loads nothing",
    "ENFORCE_LENGTH": "write TRUNCATECOLUMNS, its opposite",
    "PATTERN": "keys says which files: s3_keys(match=...) finds them",
    "FILES": "keys says which files",
    "FILE_FORMAT": "write file_format=",
    "MATCH_BY_COLUMN_NAME": "write match_by_column_name=",
}
# What a stage or a table may say otherwise: a file that is cut, skipped or half loaded isn't loaded.
_ALWAYS = (
    "ON_ERROR = ABORT_STATEMENT FORCE = FALSE PURGE = FALSE LOAD_UNCERTAIN_FILES = FALSE "
    "TRUNCATECOLUMNS = {cut} ENFORCE_LENGTH = {whole} RETURN_FAILED_ONLY = FALSE"
)
# Text, names and comments, in which no bracket counts; else what counts.
_PIECE = re.compile(
    r"""'(?:[^'\\]|''|\\.)*' | "(?:[^"]|"")*" | \$\$.*?\$\$ | --[^\n]* | //[^\n]* | /\*.*?\*/ | (?P<counts>['"();])""",
    re.DOTALL | re.VERBOSE,
)


class Copying(NamedTuple):
    """How files become rows, as SQL.

    :param columns: what follows the table: `("NUMBER", "ORIGIN")`, or nothing
    :param select: what stands between SELECT and FROM, or nothing
    :param options: the options of the statement
    """

    columns: str
    select: str
    options: str

    def source(self, stage: str) -> str:
        """Return what the statement reads from: `@stage/`, or a query of it."""
        # A comment at the end of the author's text ends with its line.
        return f"(SELECT {self.select}\nFROM @{stage}/ t)" if self.select else f"@{stage}/"


def copying(
    columns: Any, select: Any, match_by_column_name: Any, copy_options: Any, *, rendered: bool = True
) -> Copying:
    """Return how files become rows, checked.

    :param rendered: whether templates have their values already
    :raises TargetError: if it can't be, or would weaken what the operator promises
    """
    listed = _columns(columns)
    if match_by_column_name is not None and match_by_column_name not in MATCHES:
        raise TargetError(
            f"match_by_column_name={match_by_column_name!r}: write 'CASE_INSENSITIVE' or 'CASE_SENSITIVE'"
        )
    matches = match_by_column_name not in (None, "NONE")
    for name, given in {"select": select, "columns_array": columns}.items():
        if matches and given is not None:
            raise TargetError(
                f"{name} and match_by_column_name={match_by_column_name!r} exclude each other: one of them says "
                f"which column gets what"
            )
    text = "" if select is None or not rendered else _select(select)
    return Copying(
        f" ({', '.join(map(quoted, listed))})" if listed else "",
        text,
        " ".join(
            [
                *([f"MATCH_BY_COLUMN_NAME = {match_by_column_name}"] if match_by_column_name else []),
                *_options({} if copy_options is None else copy_options, matches=matches),
            ]
        ),
    )


def check_enclosed(argument: str, text: str) -> None:
    """Check that text stays within the parentheses that the statement puts around it.

    :raises TargetError: naming what is open, closed too early, or the end of the statement
    """
    depth = 0
    for piece in _PIECE.finditer(text):
        found = piece["counts"]
        if found in ("'", '"', ";"):
            what = "a ; that would end the statement" if found == ";" else f"a {found} that nothing closes"
            raise TargetError(f"{argument}={text!r} has {what}, at {text[piece.start() :][:20]!r}")
        depth += {"(": 1, ")": -1}.get(found, 0)
        if depth < 0:
            raise TargetError(
                f"{argument}={text!r} closes a parenthesis that it doesn't open, at {text[piece.start() :][:20]!r}"
            )
    if depth:
        raise TargetError(f"{argument}={text!r} opens {depth} parentheses that it doesn't close")


def _columns(columns: Any) -> list[str]:
    if columns is None:
        return []
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise TargetError(f"columns_array is {shown(columns)}: write a list of columns, ['number', 'origin']")
    names = []
    for column in columns:
        parts = parse_name("columns_array", column)
        if len(parts) > 1:
            raise TargetError(f"columns_array has {column!r}, which is no column: write its name alone")
        names.append(parts[0])
    if twice := [name for name in names if names.count(name) > 1]:
        raise TargetError(f"columns_array has the column {twice[0]!r} twice")
    return names


def _select(select: Any) -> str:
    if not isinstance(select, str) or not select.strip():
        raise TargetError(f"select is {shown(select)}: write expressions, '$1:number::int, $1:origin::text'")
    if re.match(r"\s*(?:select|with)\b", select, re.IGNORECASE):
        raise TargetError(
            f"select={select!r} is a whole query: write what stands between SELECT and FROM; the stage and its "
            f"files are the operator's"
        )
    check_enclosed("select", select)
    return select.strip()


def _options(options: Any, *, matches: bool) -> list[str]:
    if not isinstance(options, Mapping):
        raise TargetError(
            f"copy_options is {shown(options)}: write a dict, such as {{'TRUNCATECOLUMNS': True}}; it may hold "
            f"{', '.join(_ALLOWED)}"
        )
    given = {str(name).upper(): value for name, value in options.items()}
    for name in given:
        if name not in _ALLOWED:
            why = _REFUSED.get(name, "the kit doesn't know it, nor whether each file would be loaded once")
            raise TargetError(f"copy_options has {name!r}: {why}. It may hold {', '.join(_ALLOWED)}")
    cut = given.get("TRUNCATECOLUMNS", False)
    if not isinstance(cut, bool):
        raise TargetError(f"copy_options has TRUNCATECOLUMNS={cut!r}: write True or False")
    written = [_ALWAYS.format(cut=str(cut).upper(), whole=str(not cut).upper())]
    if "LOAD_MODE" in given:
        if given["LOAD_MODE"] not in _LOAD_MODES:
            raise TargetError(
                f"copy_options has LOAD_MODE={given['LOAD_MODE']!r}: write {' or '.join(map(repr, _LOAD_MODES))}"
            )
        written.append(f"LOAD_MODE = {given['LOAD_MODE']}")
    if "INCLUDE_METADATA" in given:
        written.append(f"INCLUDE_METADATA = ({_metadata(given['INCLUDE_METADATA'], matches=matches)})")
    return written


def _metadata(columns: Any, *, matches: bool) -> str:
    if not matches:
        raise TargetError(
            "copy_options has INCLUDE_METADATA, which needs match_by_column_name='CASE_INSENSITIVE' or "
            "'CASE_SENSITIVE'; in select, write METADATA$FILENAME among the expressions"
        )
    known = {f"METADATA${name}" for name in METADATA}
    if not isinstance(columns, Mapping) or not columns:
        raise TargetError(
            f"copy_options has INCLUDE_METADATA={columns!r}: write a dict of column to what it gets, "
            f"{{'loaded_from': 'METADATA$FILENAME'}}"
        )
    for column, field in columns.items():
        if field not in known:
            raise TargetError(
                f"copy_options: INCLUDE_METADATA gives {column!r} {field!r}: write one of {', '.join(sorted(known))}"
            )
    names = _columns(list(columns))
    return ", ".join(f"{quoted(name)} = {field}" for name, field in zip(names, columns.values(), strict=True))
