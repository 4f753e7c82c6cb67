"""The command, with the standard library alone."""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint import config, mending, pages, report
from airflow_mapping_kit.lint.files import python_files
from airflow_mapping_kit.lint.lint import look
from airflow_mapping_kit.lint.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

CLEAN, FOUND, FAILED = 0, 1, 2


def run() -> None:
    """Run the command with the arguments of this process, and exit with its status."""
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has had enough, of what was found. Nor is the rest written when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FOUND
    except KeyboardInterrupt:
        status = FAILED
    sys.exit(status)


def main(arguments: Sequence[str]) -> int:
    """Check files and print the findings; return 0 without findings, 1 with some, 2 if the check failed."""
    options = _parser().parse_args(arguments)
    _show_any_text()
    if options.explain is not None:
        return _explain(options.explain)
    try:
        settings, _ = config.read(Path.cwd(), RULES)
        given = {name: _ids(getattr(options, name)) for name in ("select", "extend_select", "ignore")}
        settings = config.with_arguments(settings, RULES, **given)
        paths = [Path(one) for one in options.paths or ["."]]
        result = look(python_files(paths, settings.exclude), settings)
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return FAILED
    if options.fix or options.unsafe_fixes:
        mended = mending.mend(result, settings, unsafe=options.unsafe_fixes, write=not options.diff)
        if options.diff:
            print(mended.diff, end="")
        print(
            f"{mended.number:,} of {_counted(len(result.findings), 'finding')} {'can be' if options.diff else ''} "
            "fixed.".replace("  ", " "),
            file=sys.stderr,
        )
        result = mended.left
    for path, why in result.unread:
        print(f"{path}: it can't be read: {why}", file=sys.stderr)
    if options.statistics:
        text = report.statistics(result.findings)
    else:
        fixes = mending.replacements(result.findings, settings) if options.output == "sarif" else {}
        text = report.written(result.findings, options.output, fixes)
    if text:
        print(text)
    if options.output == "text":
        number = _counted(len(result.findings), "finding")
        print(f"{number} in {_counted(result.files, 'file')}.", file=sys.stderr)
    if result.unread:
        return FAILED
    return FOUND if result.findings else CLEAN


def _show_any_text() -> None:
    """Escape what a terminal, or the log of a job, has no characters for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _explain(rule_id: str) -> int:
    rule = RULES.get(rule_id.upper())
    if rule is None:
        try:
            config.check_ids("--explain", [rule_id.upper()], RULES)
        except config.ConfigError as error:
            print(error, file=sys.stderr)
            return FAILED
        print(
            "\n".join(
                f"{one.id}  {one.summary}" for one in RULES.values() if one.id.startswith(rule_id.upper())
            )
        )
        return CLEAN
    print(pages.text(rule))
    return CLEAN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mapping-kit lint",
        description="Find mistakes in DAG files that lose data. Your code is parsed, never run.",
        epilog="Exit status: 0 nothing was found, 1 something was found, 2 the check failed.",
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="files and folders to check (default: the current folder)"
    )
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="IDS",
        help="check only these rules, or all that begin so: MAP0,MAP108",
    )
    parser.add_argument(
        "--extend-select", action="append", default=[], metavar="IDS", help="check these rules in addition"
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="IDS", help="leave out these rules")
    parser.add_argument(
        "--fix", action="store_true", help="fix findings where the fix doesn't change what the DAG does"
    )
    parser.add_argument(
        "--unsafe-fixes",
        action="store_true",
        help="also apply fixes that change what the DAG does: read the diff first",
    )
    parser.add_argument(
        "--diff",
        action="store_true",
        help="with --fix or --unsafe-fixes: show the changes, and write nothing",
    )
    parser.add_argument(
        "--explain", metavar="ID", help="say what a rule finds, why it is bad, and what to write instead"
    )
    parser.add_argument(
        "--output", choices=report.FORMATS, default="text", help="the format of the findings (default: text)"
    )
    parser.add_argument("--statistics", action="store_true", help="show only how many findings each rule has")
    return parser


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _ids(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(one.strip().upper() for text in given for one in text.split(",") if one.strip())
