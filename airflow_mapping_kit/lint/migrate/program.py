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
    """Write one DAG in place of several; return 0 if it is done, 1 if something is left to decide, 2 if it can't be."""
    options = _parser().parse_args(arguments)
    try:
        text, path, left = _written(options)
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        print(
            f"{path}: there is such a file, which is not written over. Move it away first.", file=sys.stderr
        )
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
                "Name the main DAG, the one that it starts an item, and the one that polls, if there is one."
            )
        dags = [files.dag(one) for one in options.dags]
        new_id = f"{dags[0].dag_id}_mapped"
        try:
            text = together(dags[0], dags[1], dags[2] if len(dags) > 2 else None, new_id)  # noqa: PLR2004
        except SyntaxError as error:
            raise Refused(
                f"what came of it doesn't parse ({error.msg}: {(error.text or '').strip()}): these DAGs have to be "
                f"joined by hand."
            ) from None
    path = dags[0].path.with_name(re.sub(r"[^\w.-]", "_", new_id) + ".py")
    text = text.replace("\r\n", "\n")
    if "\r\n" in dags[0].source.text:
        text = text.replace("\n", "\r\n")
    return text, path, todos(text, [one.source for one in dags])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mapping-kit migrate",
        description="Write one DAG with a mapped task in place of DAGs that start a run an item, or of copies.",
        epilog="It writes a new file beside the first one. What it can't decide is a TODO in it. Exit status: 0 "
        "written, 1 written with TODOs, 2 not written.",
    )
    parser.add_argument(
        "dags", nargs="+", metavar="FILE[:DAG]", help="the main DAG, the sub DAG, the polling DAG"
    )
    parser.add_argument("--copies", action="store_true", help="the DAGs are copies of one another")
    return parser
