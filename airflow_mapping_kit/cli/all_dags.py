"""The partitions of all DAGs in numbers, worst first: `mapping-kit partitions` without a DAG."""

from __future__ import annotations

import time
from typing import Any

from airflow_mapping_kit.cli import output
from airflow_mapping_kit.cli.failures import FAILED
from airflow_mapping_kit.cli.lookup import need_database
from airflow_mapping_kit.history.states import LETTERS, not_loaded

_COLUMNS = ("id", "paused", "task", "partitions", "not_loaded", *LETTERS.values(), "newest", "trouble")
# The page reckons a part of them, and the rest when it is asked again.
_SECONDS_BETWEEN = 1


def print_all(api: str | None, form: str) -> int:
    """Print how many partitions of each DAG are in which state.

    :return: the exit status, 1 where any is not loaded.
    """
    rows = [_row(one) for one in (_by_database() if api is None else _by_page(api))]
    if form == output.JSON:
        output.as_json({"dags": rows})
    elif form == output.CSV:
        output.as_csv(_COLUMNS, ({**row, **row["states"]} for row in rows))
    elif not rows:
        output.say("No DAG has mapped tasks that have run.")
    else:
        _print(rows)
    return FAILED if any(row["not_loaded"] or row["trouble"] for row in rows) else 0


def _by_database() -> list[dict[str, Any]]:
    from airflow_mapping_kit.compat import all_dag_ids, own_session
    from airflow_mapping_kit.history.overview import overview

    need_database()
    with own_session() as session:
        ids = all_dag_ids(session)
    return [one.as_json() for one in overview(ids, seconds=float("inf")).dags]


def _by_page(api: str) -> list[dict[str, Any]]:
    from airflow_mapping_kit.cli.remote_page import Page

    page = Page(api)
    found = page.get("dags", {})
    # Until each is known once: what is at work changes again before the others are through.
    while found["pending"] and any(one["counts"] is None for one in found["dags"]):
        time.sleep(_SECONDS_BETWEEN)
        found = page.get("dags", {})
    dags: list[dict[str, Any]] = found["dags"]
    return dags


def _row(dag: dict[str, Any]) -> dict[str, Any]:
    states: dict[str, int] = {}
    for letter, number in (dag["counts"] or {}).items():
        state = LETTERS[letter.lower()]
        states[state] = states.get(state, 0) + number
    names = ("id", "name", "paused", "task", "tasks", "partitions", "newest", "trouble")
    return {
        **{name: dag.get(name) for name in names},
        "not_loaded": not_loaded(dag["counts"]),
        "states": states,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    shown = [
        (
            row["id"] + (" (paused)" if row["paused"] else ""),
            row["task"],
            f"{row['not_loaded']:,}",
            f"{row['partitions']:,}",
            row["trouble"]
            or ", ".join(f"{number:,} {state.replace('_', ' ')}" for state, number in row["states"].items()),
            (row["newest"] or "")[:16].replace("T", " "),
        )
        for row in rows
    ]
    columns = ("DAG", "task", "not loaded", "partitions", "states", "newest run")
    output.table(columns, shown[: output.ROWS], number=("not loaded", "partitions"), of=len(shown))
