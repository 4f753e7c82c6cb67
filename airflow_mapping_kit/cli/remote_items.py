"""What the REST API tells of the items of batches that failed: what their instances have summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.failures import MAX_KEYS
from airflow_mapping_kit.results import SKIPPED, SUCCESS, part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.remote import Api

_RETURN_VALUE = "return_value"


def about_items(api: Api, place: tuple[str, str, str], failed: Sequence[dict[str, Any]], asked: int) -> str:
    """Return a sentence about the items of batches that failed, and where more is said of them.

    :param place: the DAG, the run and the task.
    :param failed: the rows of those batches.
    :param asked: of how many of them the API is asked, a request each.
    """
    count = bad = batches = 0
    keys: list[str] = []
    places: list[str] = []
    for row in failed[:asked]:
        pushed = api.xcom(*place, row["map_index"], _RETURN_VALUE)
        part = part_of(pushed)
        if part is None:
            if pushed is None:  # it was killed
                continue
            # A list of results, which may be long: so then are those of the others.
            return "Its pieces are batches. Which of their items failed is in the results: the API shows instances."
        batches += 1
        count += part["count"]
        bad += sum(number for state, number in part["states"].items() if state not in (SUCCESS, SKIPPED))
        keys += part["failed"][: MAX_KEYS - len(keys)]
        places += [part["failed_in"] or part["where"]][: 1 - len(places)]
    if not batches:
        return "Its pieces are batches, and none that failed says what became of its items: the API shows instances."
    of = (
        f"{batches:,} of the {len(failed):,} batches that failed"
        if batches < len(failed)
        else "those that failed"
    )
    named = (
        f": {', '.join(keys)}{f' and {bad - len(keys):,} more' if bad > len(keys) else ''}" if keys else ""
    )
    rows = f" Their rows are not read through the API: they are in {places[0]}" if "/" in places[0] else ""
    more = " and others" if rows and batches > 1 else ""
    return (
        f"Its pieces are batches. In {of} {bad:,} of {count:,} items failed{named}.{rows}{more}"
        f"{'.' if rows else ''} `mapping-kit status` beside the database shows each."
    )
