"""Batches at work follow what somebody says meanwhile, in threads and in an event loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import parts
from airflow_mapping_kit.operators.batched import steering
from airflow_mapping_kit.operators.batched.attempts import Policy
from airflow_mapping_kit.operators.batched.batch import worked_on
from airflow_mapping_kit.operators.batched.calls import Call
from airflow_mapping_kit.operators.batched.steering import Steering
from airflow_mapping_kit.steering.rate import Rate
from airflow_mapping_kit.steering.slots import Alone


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(steering, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(steering, "_WAIT_SECONDS", 0.05)


class Said:
    """What somebody has said so far, as an XCom has it."""

    def __init__(self, **settings):
        self.kept = {}
        self.error = None
        self.say(**settings)

    def say(self, **settings):
        self.kept = {name: {"value": value, "by": "ana", "at": ""} for name, value in settings.items()}

    def __call__(self):
        if self.error:
            raise self.error
        return self.kept


@pytest.fixture(params=["threads", "event loop"])
def work(request):
    """Return a function that works on items behind a gate, and returns their states and when each try began."""

    def run(items, said=None, function=lambda item: item, *, concurrency=4, rate=None, retries=0):
        began, marking = [], threading.Lock()

        def noted(item):
            with marking:
                began.append((time.monotonic(), item))
            return function(item)

        async def awaited(item):
            await asyncio.sleep(0)
            return noted(item)

        in_event_loop = request.param == "event loop"
        called = awaited if in_event_loop else noted
        results = parts.results()
        declared = {"concurrency": concurrency, "stop_after": None, "rate": rate, "paused": False}
        with Steering(declared, said, lambda: Alone(1), results) as gate:
            worked_on(
                (Call(str(item), lambda item=item: called(item), item) for item in items),
                results,
                concurrency=gate.concurrency,
                policy=Policy(retries=retries, delay=0, timeout=None),
                in_event_loop=in_event_loop,
                gate=gate,
            )
        return {item: row["state"] for item, row in results.part.by_item.items()}, began

    return run


def later(seconds, act):
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def most_in_a_window(began, seconds):
    times = sorted(moment for moment, _ in began)
    return max(sum(first <= moment < first + seconds for moment in times) for first in times)


def test_nothing_begins_while_it_is_paused_and_what_runs_goes_on(work):
    said, moments = Said(), {}

    def function(item):
        if item == 10:
            said.say(paused=True)
            moments["paused"] = time.monotonic()
            later(0.6, lambda: (moments.update(resumed=time.monotonic()), said.say()))
        time.sleep(0.01)

    states, began = work(range(60), said, function)
    assert list(states.values()) == ["success"] * 60
    # It is looked ever so often, and a busy machine may be late with it.
    quiet = [item for moment, item in began if moments["paused"] + 0.4 < moment < moments["resumed"]]
    assert quiet == []


def test_one_that_is_paused_when_it_starts_begins_nothing_until_it_may(work):
    said = Said(paused=True)
    started = time.monotonic()
    later(0.3, said.say)
    states, began = work(range(5), said)
    assert len(states) == 5
    assert min(moment for moment, _ in began) >= started + 0.3


def test_it_works_on_as_many_at_a_time_as_somebody_says(work):
    said, at_once, marking = Said(concurrency=2), set(), threading.Lock()
    most = {}

    def function(item):
        with marking:
            at_once.add(item)
            most[item] = len(at_once)
        time.sleep(0.01)
        with marking:
            at_once.discard(item)
            if item == 20:
                said.say(concurrency=1)

    work(range(100), said, function, concurrency=8)
    assert max(most.values()) <= 2
    assert max(most[item] for item in range(80, 100)) == 1


def test_somebody_may_have_it_stop_after_so_many_failures(work):
    def function(item):
        raise ValueError(item)

    said = Said(stop_after=3)
    states, _ = work(range(50), said, function, concurrency=1)
    assert states == dict.fromkeys(range(3), "failed")


def test_no_window_has_more_calls_than_the_rate_and_retries_are_calls(work):
    tries = []

    def function(item):
        tries.append(item)
        if tries.count(item) == 1 and item % 5 == 0:
            raise ValueError("once")

    states, began = work(range(20), None, function, concurrency=8, rate="40/s", retries=1)
    assert list(states.values()) == ["success"] * 20
    assert len(began) == 24
    times = sorted(moment for moment, _ in began)
    spacing = Rate.of("40/s").spacing
    # Each in its own time, but for the wakings of a busy machine.
    assert times[-1] - times[0] >= 23 * spacing - Rate.of("40/s").free
    assert most_in_a_window(began, 0.5) <= 20 + 1


def test_who_waits_for_a_time_that_nobody_needs_any_more_does_not(work):
    started = time.monotonic()
    states, _ = work(range(3), None, concurrency=16, rate="4/s")
    assert len(states) == 3
    assert time.monotonic() - started < 3 * Rate.of("4/s").spacing + 1


def test_a_rate_comes_changes_and_goes_while_it_works(work):
    said = Said(rate="20/h")
    later(0.3, lambda: said.say(rate="100/s"))
    states, began = work(range(10), said)
    assert len(states) == 10
    said = Said(rate="20/h")
    later(0.2, lambda: said.say(rate=None))
    assert len(work(range(200), said)[0]) == 200
    assert began[-1][0] - began[0][0] < 5


def test_what_held_goes_on_to_hold_where_it_cannot_be_looked(work, caplog):
    said = Said(concurrency=1)
    at_once, most = set(), []

    def function(item):
        said.error = OSError("no database")
        at_once.add(item)
        most.append(len(at_once))
        time.sleep(0.005)
        at_once.discard(item)

    states, _ = work(range(40), said, function)
    assert (len(states), max(most)) == (40, 1)
    told = [line for line in caplog.messages if "can't be read" in line]
    assert len(told) == 1
    assert "no database" in told[0]


def test_what_somebody_wrote_by_hand_counts_for_nothing(work, caplog):
    said = Said(concurrency=0, rate="fast", bad="1", paused="yes")
    assert len(work(range(10), said)[0]) == 10
    assert "rate='fast' is not a rate" in caplog.text
