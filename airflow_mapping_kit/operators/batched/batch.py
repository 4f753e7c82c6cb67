"""A batch: its items given to threads or to an event loop, and what is done of them saved on the way."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from airflow_mapping_kit.checkpoints.progress import STOP_SECONDS
from airflow_mapping_kit.operators.batched.children import Children
from airflow_mapping_kit.operators.batched.event_loop import EventLoop
from airflow_mapping_kit.operators.batched.log_lines import with_keys
from airflow_mapping_kit.operators.batched.threads import Threads
from airflow_mapping_kit.results import FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.checkpoints.progress import Results
    from airflow_mapping_kit.operators.batched.attempts import Call, Policy
    from airflow_mapping_kit.results import ItemResult

log = logging.getLogger(__name__)


def worked_on(
    calls: Sequence[Call], results: Results, *, concurrency: int, policy: Policy, in_event_loop: bool
) -> dict[str, ItemResult]:
    """Return the result of every call by its key; none of those that were not begun.

    Whatever ends this early (a signal, a time limit, an error) stops what runs, and saves what is done.

    :param results: where they go, and what says that it is over.
    :param concurrency: how many at a time.
    :param in_event_loop: whether calls are coroutines.
    :raises Superseded: if the instance is not this process's own any more.
    """
    waiting = deque(calls)
    kind = EventLoop if in_event_loop else Threads
    workers = kind(waiting, min(concurrency, len(calls)), policy, results)
    children = Children()
    with with_keys():
        try:
            running = workers.start()
            with results.saved_on_the_way():
                while running:
                    results.wait()
                    running -= 1
        except BaseException:
            workers.interrupt()
            # After that: an item whose process was ended must not go on as if that had done its work.
            children.end(STOP_SECONDS)
            workers.join(STOP_SECONDS)
            results.save()
            raise
    if results.over.is_set():
        log.error("%s items in a row failed (stop_after): no further one was begun.", results.stop_after)
    elif waiting:
        log.error(
            "%d items were not begun: in each of the %d places is a call that went on after its time (item_timeout) "
            "and did not end. They end with this process; a retry does the rest in one of its own.",
            len(waiting),
            min(concurrency, len(calls)),
        )
    # What succeeded as a whole needs no checkpoint any more.
    if waiting or any(result["state"] == FAILED for result in results.by_key.values()):
        results.save()
    if results.superseded is not None:
        raise results.superseded
    return results.by_key
