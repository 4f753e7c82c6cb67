"""A batch of partitions: each published on its own, and what is done kept where a retry finds it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints.checkpoint import place_for
from airflow_mapping_kit.checkpoints.owners import owner_of
from airflow_mapping_kit.checkpoints.part import Part, Span, max_result_kb
from airflow_mapping_kit.checkpoints.progress import Results
from airflow_mapping_kit.compat import AirflowException, one_connection
from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.operators.partition.addresses import Address
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.plans.arguments import mapped_arguments
from airflow_mapping_kit.plans.batches import received
from airflow_mapping_kit.reading.records import ITEMS_KEY, error_of, item_result
from airflow_mapping_kit.results import FAILED, SKIPPED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.plans.slices import Slice
    from airflow_mapping_kit.results import ItemResult

log = logging.getLogger(__name__)

# Publishes one partition and returns where it is; `None` if it was left alone, for it has no rows.
Publish = Callable[[Address], dict[str, Any] | None]

_MAX_NAMED = 20


@one_connection()
def published_each(
    publish: Publish,
    places: Sequence[Address],
    one: Slice | None,
    context: Context,
    *,
    verb: str = "Published",
) -> list[ItemResult] | dict[str, Any]:
    """Publish all that an earlier try hasn't, and return what became of every partition, in their order.

    If some fail the others are published all the same, and the fan-in finds what became of each.

    :param verb: what becomes of a partition, for the error.
    :param one: the slice that the partitions are of, if they are of one: then the summary of them all is returned.
    :raises Superseded: if the try is not this process's own any more
    :raises AirflowException: if some failed and may pass, naming them and what is published
    :raises MappingKitError: if all that failed would fail again
    """
    span = Span(0, len(places), len(places)) if one is None else Span(one.first, one.count, one.total)
    keyed = dict(enumerate(zip(_keys(places, context), places, strict=True), span.first))
    owner = owner_of(context)
    where = place_for(context, owner, sliced=one is not None)
    part = Part(where, context["ti"], span, as_list=one is None, most_bytes=max_result_kb() * 1024)
    done = part.take_over(lambda: ((number, key) for number, (key, _) in keyed.items()))
    log.info("%d partitions, of which an earlier try has done %d", len(places), done)
    if not where.outlives_tries:
        log.info("This batch has no checkpoint: a retry does all of it again")
    results = Results(None, part)
    errors: list[Exception] = []
    try:
        with results.saved_on_the_way():
            for number, (key, place) in keyed.items():
                if not part.is_done(number) and results.superseded is None:
                    errors += _put(results, publish, number, key, place)
    finally:
        results.save()
    if results.superseded is not None:
        raise results.superseded
    if owner is not None:
        owner.check(done=True)
    pushed = results.finish()
    # What the task returns says nothing of those that failed, and a failed one returns nothing.
    context["ti"].xcom_push(ITEMS_KEY, pushed)
    rows = pushed if isinstance(pushed, list) else None
    if errors:
        same_again = all(isinstance(error, MappingKitError) for error in errors)
        message = _said_of(part, rows, errors[0], verb)
        raise (MappingKitError if same_again else AirflowException)(message) from errors[0]
    return pushed


def _keys(places: Sequence[Address], context: Context) -> list[str]:
    """Return the keys of the partitions as pieces, of which other mapped arguments are a part, too."""
    task: Any = context["task"]
    how = received(task.dag.get_task(task.task_id))
    return distinct(
        item.key for item in how.items(mapped_arguments(context), [place.partition for place in places])
    )


def _put(results: Results, publish: Publish, number: int, key: str, place: Address) -> list[Exception]:
    """Publish a partition, hand over what became of it, and return the error if it failed."""
    started = time.monotonic()
    try:
        value = publish(place)
    except (MappingKitError, AirflowException) as error:
        # The traceback comes with the error of the whole batch.
        log.error("%s", said(error_of(error)))  # noqa: TRY400
        results.put(number, item_result(key, FAILED, started=started, error=error))
        return [error]
    state = SKIPPED if value is None else SUCCESS
    results.put(number, item_result(key, state, started=started, value=value))
    return []


def _said_of(part: Part, rows: Sequence[ItemResult] | None, first: Exception, verb: str) -> str:
    number, kept = part.span.count, part.place.outlives_tries
    published, failed = part.states[SUCCESS], [row["key"] for row in part.failed]
    done = (
        f"{published:,}" if rows is None else _named([row["key"] for row in rows if row["state"] == SUCCESS])
    )
    return (
        f"{part.states[FAILED]:,} of {number:,} partitions failed: {_named(failed, part.states[FAILED])}. "
        f"{verb}: {done}{', which a retry leaves alone' if kept and published else ''}. "
        f"The first error: {error_of(first)['message']}"
    )


def _named(keys: Sequence[str], number: int | None = None) -> str:
    rest = (number or len(keys)) - _MAX_NAMED
    more = f" and {rest:,} more" if rest > 0 else ""
    return (", ".join(keys[:_MAX_NAMED]) or "none") + more
