"""A batch: its items given to threads or to an event loop, and what is done of them saved on the way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_mapping_kit.checkpoints.progress import STOP_SECONDS
from airflow_mapping_kit.operators.batched.calls import Calls
from airflow_mapping_kit.operators.batched.children import Children
from airflow_mapping_kit.operators.batched.log_lines import with_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.checkpoints.progress import Results
    from airflow_mapping_kit.operators.batched.attempts import Policy
    from airflow_mapping_kit.operators.batched.calls import Call
    from airflow_mapping_kit.operators.batched.event_loop import EventLoop
    from airflow_mapping_kit.operators.batched.gate import Gate
    from airflow_mapping_kit.operators.batched.threads import Threads

log = logging.getLogger(__name__)


def worked_on(
    calls: Iterator[Call],
    results: Results,
    *,
    concurrency: int,
    policy: Policy,
    in_event_loop: bool,
    gate: Gate | None = None,
) -> Iterator[Call]:
    """Make calls, hand over what becomes of each, and return an iterator of those that were not begun.

    Whatever ends this early (a signal, a time limit, an error) stops what runs, and saves what is done.

    :param calls: asked for one when somebody has time for it. What it raises ends the batch.
    :param results: where results go, and what says that it is over.
    :param concurrency: how many at a time.
    :param in_event_loop: whether calls are coroutines.
    :param gate: asked before every try of an item; it may change how many there are at a time.
    :raises Superseded: if the instance is not this process's own any more.
    """
    waiting = Calls(calls, results.fail)
    workers = _kind(in_event_loop=in_event_loop)(waiting, max(concurrency, 1), policy, results, gate)
    if gate is not None:
        gate.stands_before(workers)
    children = Children()
    with with_keys():
        try:
            workers.start()
            with results.saved_on_the_way():
                results.wait()
        except BaseException:
            workers.interrupt()
            # After that: an item whose process was ended must not go on as if that had done its work.
            children.end(STOP_SECONDS)
            workers.join(STOP_SECONDS)
            results.save()
            raise
    if results.over.is_set():
        log.error("%s items in a row failed (stop_after): no further one was begun.", results.stop_after)
    elif workers.stuck():
        log.error(
            "The rest of the batch was not started: each of its %d places holds a call that took longer than "
            "item_timeout and can't be interrupted. These calls end with this process; a retry does the rest in "
            "a new one.",
            workers.count,
        )
    # What succeeded as a whole needs no checkpoint, or almost none: see `checkpoint.succeeded`.
    if results.some_failed or waiting.more():
        results.save()
    if results.superseded is not None:
        raise results.superseded
    return iter(waiting)


def _kind(*, in_event_loop: bool) -> type[EventLoop | Threads]:
    # An instance pays for the one that it takes.
    if in_event_loop:
        from airflow_mapping_kit.operators.batched.event_loop import EventLoop

        return EventLoop
    from airflow_mapping_kit.operators.batched.threads import Threads

    return Threads
