"""Calls that are taken as there is somebody to make them, and what may hold them up meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import count

import pytest

import parts
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.operators.batched.attempts import Policy
from airflow_mapping_kit.operators.batched.batch import worked_on
from airflow_mapping_kit.operators.batched.calls import Call


class Turnstile:
    """A gate that lets so many tries through, and may change how many there are at a time."""

    is_open = False

    def __init__(self, lets_through):
        self.lets_through = lets_through
        self.asked = count()
        self.workers = None

    def stands_before(self, workers):
        self.workers = workers

    def enter(self, over):
        return next(self.asked) < self.lets_through and not over.is_set()

    async def entered(self, over):
        await asyncio.sleep(0)
        return self.enter(over)


@pytest.fixture(params=["threads", "event loop"])
def work(request):
    def run(function, calls, *, concurrency=2, gate=None, stop_after=None, retries=0):
        async def awaited(item):
            await asyncio.sleep(0)
            return function(item)

        in_event_loop = request.param == "event loop"
        called = awaited if in_event_loop else function
        results = parts.results(stop_after)
        left = worked_on(
            (Call(str(item), lambda item=item: called(item), item) for item in calls),
            results,
            concurrency=concurrency,
            policy=Policy(retries=retries, delay=0, timeout=None),
            in_event_loop=in_event_loop,
            gate=gate,
        )
        return results.part.by_item, [call.item for call in left]

    return run


def test_a_call_is_taken_when_somebody_has_time_for_it(work):
    taken, ended = count(), count()
    ahead = []

    def items():
        for item in range(200):
            next(taken)
            yield item

    def function(_):
        ahead.append(taken.__reduce__()[1][0] - next(ended))

    found, left = work(function, items(), concurrency=3)
    assert (len(found), left) == (200, [])
    # Those at work, and one that waits for the next who has time.
    assert max(ahead) <= 3 + 1 + 3


def test_what_is_not_begun_comes_back(work):
    def function(item):
        if item == 3:
            raise ValueError(item)

    found, left = work(function, range(10), concurrency=1, stop_after=1)
    assert (list(found), left) == ([0, 1, 2, 3], [4, 5, 6, 7, 8, 9])


def test_items_that_cannot_be_read_end_the_batch(work):
    def items():
        yield from range(5)
        raise StorageError("the file is gone")

    with pytest.raises(StorageError, match="the file is gone"):
        work(lambda item: item, items())


def test_a_gate_is_asked_before_every_try_and_ends_the_batch(work):
    tries = []

    def function(item):
        tries.append(item)
        if tries.count(item) < 3:
            raise ValueError(item)

    found, left = work(function, range(100), gate=Turnstile(8), concurrency=1, retries=2)
    assert {item: (row["state"], row["tries"]) for item, row in found.items()} == {
        0: ("success", 3),
        1: ("success", 3),
        2: ("failed", 2),
    }
    assert tries == [0, 0, 0, 1, 1, 1, 2, 2]
    assert left == list(range(3, 100))


@pytest.mark.parametrize(("before", "after"), [(1, 6), (6, 1)])
def test_there_are_more_or_fewer_at_a_time_from_now_on(before, after, work):
    gate, at_once, marking = Turnstile(10_000), set(), threading.Lock()
    most = {"before": 0, "after": 0}

    def function(item):
        with marking:
            if item == 30:
                gate.workers.resize(after)
            at_once.add(item)
        time.sleep(0.003)
        with marking:
            # Those that began before may still run.
            now = "before" if item < 30 else "after" if item > 45 else None
            if now:
                most[now] = max(most[now], len(at_once))
            at_once.discard(item)

    found, left = work(function, range(100), concurrency=before, gate=gate)
    assert (len(found), left) == (100, [])
    assert most["before"] <= before
    assert most["after"] <= after


def test_what_goes_wrong_beside_the_items_ends_the_batch(work, mocker):
    mocker.patch("airflow_mapping_kit.checkpoints.progress.Results.put", side_effect=OSError("no space left"))
    with pytest.raises(OSError, match="no space left"):
        work(lambda item: item, range(10))
