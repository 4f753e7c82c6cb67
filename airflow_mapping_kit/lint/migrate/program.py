"""The command, with the standard library alone."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate.copied import as_one
from airflow_mapping_kit.lint.migrate.dags import Files
from airflow_mapping_kit.lint.migrate.module import todos
from airflow_mapping_kit.lint.migrate.refused import Refused
from airflow_mapping_kit.lint.migrate.together import together

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WRITTEN, WITH_TODOS, REFUSED = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Write one DAG that replaces several; return 0 if it is complete, 1 if it has TODOs, 2 if it is not written."""
    options = _parser().parse_args(arguments)
    try:
        text, path, left = _written(options)
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        print(f"{path}: this file exists, and is not overwritten. Move it away first.", file=sys.stderr)
        return REFUSED
    except (Refused, OSError) as error:
        print(str(error), file=sys.stderr)
        return REFUSED
    print(f"{path}: written. The other DAGs stay as they are: pause them before you start this one.")
    for number, what in left:
        print(f"{path}:{number}: {what}")
    return WITH_TODOS if left else WRITTEN


def _written(options: argparse.Namespace) -> tuple[str, Path, list[tuple[int, str]]]:
    files = Files()
    if options.copies:
        dags = [files.dag(one) for one in options.dags]
        new_id, text = as_one(dags)
    else:
        if len(options.dags) not in {2, 3}:
            raise Refused(
                "Name the main DAG, then the DAG that it starts for each item, then the DAG that polls, if there is "
                "one."
            )
        dags = [files.dag(one) for one in options.dags]
        new_id = f"{dags[0].dag_id}_mapped"
        try:
            text = together(dags[0], dags[1], dags[2] if len(dags) > 2 else None, new_id)  # noqa: PLR2004
        except SyntaxError as error:
            raise Refused(
                f"the new file would not parse ({error.msg}: {(error.text or '').strip()}). Join these DAGs by hand."
            ) from None
    path = dags[0].path.with_name(re.sub(r"[^\w.-]", "_", new_id) + ".py")
    text = text.replace("\r\n", "\n")
    if "\r\n" in dags[0].source.text:
        text = text.replace("\n", "\r\n")
    return text, path, todos(text, [one.source for one in dags])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mapping-kit migrate",
        description="Write one DAG with a mapped task that replaces several: a DAG that starts a run of another DAG "
        "for each item, or DAGs that are copies of one another.",
        epilog="The new file is beside the first one. The old files don't change. Where you have to decide something, "
        "the new file has a TODO. Exit status: 0 written, 1 written with TODOs, 2 not written.",
    )
    parser.add_argument(
        "dags",
        nargs="+",
        metavar="FILE[:DAG]",
        help="the main DAG, the DAG that it starts, and the DAG that polls, "
        "in this order; with --copies, all copies",
    )
    parser.add_argument("--copies", action="store_true", help="the files are copies of one another")
    return parser
