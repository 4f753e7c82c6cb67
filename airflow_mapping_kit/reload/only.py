"""Which of the partitions that a run could load it is to load: everything, or what is missing, failed or stale."""

from __future__ import annotations

from typing import Any

from airflow_mapping_kit import partitions
from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.reload.last_time import failed_last_time
from airflow_mapping_kit.reload.upstream import changed_upstream

EVERYTHING, MISSING, FAILED, STALE = "everything", "missing", "failed", "stale"
# As the trigger form shows them.
CHOICES = {
    EVERYTHING: "everything",
    MISSING: "what is missing",
    FAILED: "what failed last time",
    STALE: "what changed upstream since it was loaded",
}
OLDEST, NEWEST = "oldest", "newest"
ORDERS = (OLDEST, NEWEST)


def chosen(
    choice: str, candidates: list[dict[str, Any]], there: Any, context: Any, every: str, zone: str
) -> list[dict[str, Any]]:
    """Return those of some partitions that are chosen, in their order.

    :param there: what is there, as `reload_partitions` was given it.
    :param every: how long a period lasts.
    :param zone: whose clock periods are read on.
    :raises PartitionError: if it wasn't, and is needed.
    """
    if choice == EVERYTHING:
        return candidates
    if choice == FAILED:
        return failed_last_time(candidates, context)
    if choice == STALE:
        return changed_upstream(candidates, context, every, zone)
    if there is None:
        raise PartitionError(
            "Nobody says what is there: reload_partitions(there=...) is None. Give it what lists the partitions, "
            "such as lake_partitions(target), and have a task of yours return a list, an empty one if nothing is there."
        )
    return partitions.without(candidates, there, hidden=hidden_names())


def check_choice(choice: Any) -> None:
    """Check that there is such a choice.

    :raises PartitionError: naming those that there are.
    """
    if choice not in CHOICES:
        raise PartitionError(f"only={shown(choice)} is unknown: choose one of {', '.join(CHOICES)}.")


def check_bounds(lookback: Any, at_most: Any, order: Any) -> None:
    """Check how far back a run looks, how much of it it takes, and in which order.

    :raises PartitionError: naming what cannot be.
    """
    if isinstance(lookback, bool) or not isinstance(lookback, int) or not 0 <= lookback <= _FARTHEST:
        raise PartitionError(f"lookback={shown(lookback)}: give a number of periods from 0 to {_FARTHEST:,}.")
    if at_most is not None and (isinstance(at_most, bool) or not isinstance(at_most, int) or at_most < 1):
        raise PartitionError(f"at_most={shown(at_most)}: give a number of partitions, 1 or more.")
    if order not in ORDERS:
        raise PartitionError(f"order={shown(order)} is unknown: choose one of {', '.join(ORDERS)}.")


# Periods are stepped over one by one.
_FARTHEST = 100_000
