"""Items one by one, in threads and in an event loop: none takes the others down, none keeps memory."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import threading
import time
import tracemalloc
from collections import Counter

import pytest

import parts
from airflow_mapping_kit.checkpoints.owners import Superseded
from airflow_mapping_kit.exceptions import ResultError
from airflow_mapping_kit.operators.batched.attempts import ItemStopped, Policy
from airflow_mapping_kit.operators.batched.batch import worked_on
from airflow_mapping_kit.operators.batched.calls import Call
from airflow_mapping_kit.operators.batched.children import Children
from airflows import AirflowFailException, AirflowSkipException

ONCE = Policy(retries=0, delay=0, timeout=None)


def done(made, results, **how):
    """Work on calls, made of keys and functions, and return what became of them by their keys."""
    calls = (Call(key, make, number) for number, (key, make) in enumerate(made))
    worked_on(calls, results, **how)
    assert all(type(number) is int for number in results.part.by_item)
    return {row["key"]: row for row in results.part.by_item.values()}


@pytest.fixture(params=["threads", "event loop"])
def work(request):
    """Return a function that works on items with a function that a thread or an event loop calls."""

    def run(function, items, *, concurrency=4, policy=ONCE, stop_after=None, save=None, save_bytes=1 << 20):
        if request.param == "threads":
            calls = [(str(item), lambda item=item: function(item)) for item in items]
        else:

            async def call(item):
                await asyncio.sleep(0)
                return function(item)

            calls = [(str(item), lambda item=item: call(item)) for item in items]
        return done(
            calls,
            parts.results(stop_after, save, save_bytes=save_bytes),
            concurrency=concurrency,
            policy=policy,
            in_event_loop=request.param != "threads",
        )

    return run


def become(item):
    if isinstance(item, BaseException):
        raise item
    return item


def test_every_item_is_what_it_is_and_none_takes_the_others_down(work):
    raised = (AirflowSkipException("no"), ValueError("bad"), SystemExit(3), KeyboardInterrupt("^C"))
    results = work(become, ["ok", None, *raised])
    assert {key: (r["state"], r["value"], r["error"]) for key, r in results.items()} == {
        "ok": ("success", "ok", None),
        "None": ("success", None, None),
        "no": ("skipped", None, None),
        "bad": ("failed", None, {"type": "ValueError", "message": "bad"}),
        "3": ("failed", None, {"type": "SystemExit", "message": "3"}),
        "^C": ("failed", None, {"type": "KeyboardInterrupt", "message": "^C"}),
    }
    assert all(r["tries"] == 1 and r["duration_s"] >= 0 for r in results.values())


class Unprintable(Exception):
    """As in many SDKs: the text is whatever the server sent; or printing it goes wrong."""

    def __init__(self, content):
        super().__init__("code 500")
        self.content = content

    def __str__(self):
        if self.content is None:
            raise self
        return self.content


class Skipped(Unprintable, AirflowSkipException): ...


def test_an_item_whose_exception_cannot_be_printed_fails_alone_and_by_its_type(work, caplog):
    caplog.set_level(logging.INFO)
    odd = {
        "dict": Unprintable({"code": 500}),
        "itself": Unprintable(None),
        "surrogate": FileNotFoundError("no \udcff"),
        "nul": ValueError("a\0b"),
        "lines": ValueError("bad\nINFO - all is well"),
        "skipped": Skipped({"code": 404}),
    }

    def function(item):
        if item in odd:
            raise odd[item]
        return item

    results = work(function, ["before", *odd, "after"], policy=Policy(retries=1, delay=0, timeout=None))
    assert {key: (r["state"], r["error"] and r["error"]["type"]) for key, r in results.items()} == {
        "before": ("success", None),
        "dict": ("failed", "Unprintable"),
        "itself": ("failed", "Unprintable"),
        "surrogate": ("failed", "FileNotFoundError"),
        "nul": ("failed", "ValueError"),
        "lines": ("failed", "ValueError"),
        "skipped": ("skipped", None),
        "after": ("success", None),
    }
    assert "code 500" in results["dict"]["error"]["message"]
    assert results["surrogate"]["error"]["message"] == "no \\udcff"
    assert results["nul"]["error"]["message"] == "a\\x00b"
    for line in caplog.text.splitlines():
        assert not line.startswith("INFO - all is well")


def test_an_item_that_leaves_with_success_succeeded(work):
    (result,) = work(become, [SystemExit(0)]).values()
    assert (result["state"], result["value"]) == ("success", None)


def test_an_item_is_tried_again_until_it_succeeds_or_may_be_tried_no_more(work):
    tries = {"third": 0, "never": 0, "final": 0, "unkept": 0}
    taking = threading.Lock()

    def function(item):
        with taking:
            tries[item] += 1
        if item == "final":
            raise AirflowFailException("no use")
        if item == "unkept":
            raise ResultError("not kept")
        if item == "never" or tries[item] < 3:
            raise ConnectionError("again")
        return tries[item]

    results = work(function, list(tries), policy=Policy(retries=2, delay=0.01, timeout=None))
    assert {key: (r["state"], r["tries"]) for key, r in results.items()} == {
        "third": ("success", 3),
        "never": ("failed", 3),
        "final": ("failed", 1),
        "unkept": ("failed", 1),
    }
    assert tries == {"third": 3, "never": 3, "final": 1, "unkept": 1}


def test_no_more_items_are_worked_on_at_once_than_asked_for(work):
    at_once, most, taking = 0, 0, threading.Lock()

    def function(_):
        nonlocal at_once, most
        with taking:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.002)
        with taking:
            at_once -= 1

    work(function, range(40), concurrency=3)
    assert most <= 3


def test_failures_in_a_row_end_the_batch_and_what_was_not_begun_has_no_result(work):
    def function(item):
        if item % 10 > 4:
            raise ValueError(item)

    assert len(work(function, range(10, 40), concurrency=1, stop_after=6)) == 30
    results = work(function, range(10, 40), concurrency=1, stop_after=5)
    assert list(results) == [str(item) for item in range(10, 20)]


class TestSaving:
    def test_is_of_so_many_bytes_at_a_time_and_not_of_a_batch_that_succeeded(self, work):
        saved = []
        results = work(become, range(1_000), save=saved.append, save_bytes=400 * parts.LINE)
        assert len(results) == 1_000
        assert len(saved) == 2
        assert all(350 < len(chunk) < 450 for chunk in saved)

    def test_is_of_all_that_is_done_where_an_item_failed(self, work):
        saved = []
        work(become, ["a", ValueError("b"), AirflowSkipException("c")], save=saved.append)
        assert sorted(row["key"] for chunk in saved for row in chunk) == ["a", "c"]

    def test_comes_after_a_second_while_another_item_goes_on(self):
        saved, saw = [], threading.Event()

        def save(chunk):
            saved.append([row["key"] for row in chunk])
            saw.set()

        def function(item):
            if item == "slow" and not saw.wait(30):
                raise TimeoutError
            return item

        results = done(
            [(item, lambda item=item: function(item)) for item in ("quick", "slow")],
            parts.results(save=save),
            concurrency=2,
            policy=ONCE,
            in_event_loop=False,
        )
        assert [r["state"] for r in results.values()] == ["success", "success"]
        assert saved == [["quick"]]

    def test_that_is_slow_lets_nobody_get_ahead_of_it(self, work):
        begun, saved, ahead, taking = 0, 0, [], threading.Lock()

        def function(_):
            nonlocal begun
            with taking:
                begun += 1

        def save(chunk):
            nonlocal saved
            time.sleep(0.05)  # a database that takes its time
            ahead.append(begun - saved)
            saved += len(chunk)

        work(function, range(400), concurrency=8, save=save, save_bytes=50 * parts.LINE)
        assert len(ahead) >= 7
        assert max(ahead) <= 60 + 8

    def test_that_goes_wrong_fails_no_item_and_is_said(self, work, caplog):
        def save(_):
            raise OSError("no database")

        results = work(become, range(50), save=save, save_bytes=1)
        assert {r["state"] for r in results.values()} == {"success"}
        assert "could not be saved: if this task is killed now, 50 items run again" in caplog.text


class Ended(BaseException):
    """As Airflow raises it in the main thread for a signal."""


class TestEndingEarly:
    def test_stops_what_runs_saves_what_is_done_and_leaves_no_thread(self, mocker):
        before = set(threading.enumerate())
        saved, begun = [], threading.Event()

        def function(item):
            if item == "ok":
                return item
            begun.set()
            while True:
                time.sleep(0.005)

        def wait(*_, **__):
            """End the wait for a result as a signal does, once an item runs that would go on for ever."""
            assert begun.wait(30)
            raise Ended

        mocker.patch("airflow_mapping_kit.checkpoints.progress.Results.wait", wait)
        calls = [(item, lambda item=item: function(item)) for item in ("ok", "endless", "never begun")]
        with pytest.raises(Ended):
            done(calls, parts.results(save=saved.append), concurrency=1, policy=ONCE, in_event_loop=False)
        assert [row["key"] for chunk in saved for row in chunk] == ["ok"]
        assert not set(threading.enumerate()) - before

    def test_cancels_coroutines(self, mocker):
        before = set(threading.enumerate())
        begun, cancelled = threading.Event(), []

        async def endless():
            begun.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        def wait(*_, **__):
            assert begun.wait(30)
            raise Ended

        mocker.patch("airflow_mapping_kit.checkpoints.progress.Results.wait", wait)
        with pytest.raises(Ended):
            done(
                [("endless", endless)],
                parts.results(),
                concurrency=2,
                policy=ONCE,
                in_event_loop=True,
            )
        assert cancelled == [True]
        assert not set(threading.enumerate()) - before

    def test_by_a_signal_that_raises_nothing_saves_what_is_done(self):
        # As Airflow 3 tells a task to end: it calls `on_kill` in the signal's handler, and goes on.
        saved: list[str] = []
        results = parts.results(save=lambda chunk: saved.extend(row["key"] for row in chunk))
        before = signal.signal(signal.SIGTERM, lambda *_: results.stop(ItemStopped()))

        def function(item):
            if item == 3:
                # To the process: one to this thread would not wake the main one, whose handler it is.
                os.kill(os.getpid(), signal.SIGTERM)
            while item >= 3:
                time.sleep(0.005)

        try:
            with pytest.raises(ItemStopped):
                done(
                    [(str(item), lambda item=item: function(item)) for item in range(10)],
                    results,
                    concurrency=1,
                    policy=ONCE,
                    in_event_loop=False,
                )
        finally:
            signal.signal(signal.SIGTERM, before)
        assert saved == ["0", "1", "2"]


class TestBeingSuperseded:
    def test_begins_nothing_after_the_save_that_shows_it(self, work):
        begun, taking = [], threading.Lock()

        def function(item):
            with taking:
                begun.append(item)

        def save(_):
            raise Superseded("somebody else works on it", another=True)

        with pytest.raises(Superseded, match="somebody else"):
            work(function, range(200), save=save, save_bytes=50 * parts.LINE)
        assert 40 <= len(begun) <= 60 + 4

    def test_is_said_where_the_last_save_shows_it(self, work):
        def save(_):
            raise Superseded("somebody else works on it", another=True)

        with pytest.raises(Superseded):
            work(become, ["a", ValueError("b")], save=save)


@pytest.fixture
def waits(request):
    """Return a function that works on items which wait where nobody can end them, so many seconds each."""

    def run(seconds, *, concurrency, policy, after=lambda item: item):
        def wait(item):
            with marking:
                marked["now"] += 1
                marked[item] += 1
                most["at once"] = max(most["at once"], marked["now"])
                most["of one item"] = max(most["of one item"], marked[item])
                calls[item] += 1
            time.sleep(seconds[item])
            return after(item)

        def counted(item):
            try:
                return wait(item)
            finally:
                with marking:
                    marked["now"] -= 1
                    marked[item] -= 1

        async def in_a_thread(item):
            return await asyncio.to_thread(counted, item)

        marking, marked, most, calls = threading.Lock(), Counter(), Counter(), Counter()
        in_event_loop = request.param == "event loop"
        function = in_a_thread if in_event_loop else counted
        results = done(
            [(item, lambda item=item: function(item)) for item in seconds],
            parts.results(),
            concurrency=concurrency,
            policy=policy,
            in_event_loop=in_event_loop,
        )
        return {key: (row["state"], row["tries"]) for key, row in results.items()}, most, calls

    return run


@pytest.mark.parametrize("waits", ["threads", "event loop"], indirect=True)
class TestCallsThatNobodyCanEnd:
    def test_keep_their_places_and_are_not_joined_by_another_of_their_item(self, waits):
        found, most, calls = waits(
            dict.fromkeys("abcd", 0.5), concurrency=2, policy=Policy(retries=1, delay=0.01, timeout=0.3)
        )
        assert (most["at once"], most["of one item"]) == (2, 1)
        assert found == dict.fromkeys("abcd", ("failed", 2))
        assert calls == dict.fromkeys("abcd", 2)

    def test_leave_the_other_places_to_the_other_items(self, waits):
        found, _, calls = waits(
            {"hangs": 2.0, **dict.fromkeys("abcd", 0.01)},
            concurrency=2,
            policy=Policy(retries=3, delay=0.01, timeout=0.2),
        )
        # It may have been tried again where it came back in time; nobody waits for it longer than for a result.
        assert found == {"hangs": ("failed", 1), **dict.fromkeys("abcd", ("success", 1))}
        assert calls["hangs"] == 1

    def test_in_all_places_leave_the_rest_unbegun_and_say_so(self, waits, caplog):
        found, _, calls = waits(
            {"x": 3.0, "y": 3.0, "a": 0, "b": 0},
            concurrency=2,
            policy=Policy(retries=0, delay=0, timeout=0.2),
        )
        assert found == {"x": ("failed", 1), "y": ("failed", 1)}
        assert calls == {"x": 1, "y": 1}
        assert (
            "The rest of the batch was not started: each of its 2 places holds a call that took longer"
            in caplog.text
        )
        assert "[x] No result after 0.2 s (item_timeout), and the call goes on" in caplog.text


class TestTimeout:
    def test_of_a_function_in_python_ends_it_at_once(self):
        def function(item):
            while item == "hangs":
                pass
            return item

        results = done(
            [(item, lambda item=item: function(item)) for item in ("a", "hangs", "b")],
            parts.results(),
            concurrency=1,
            policy=Policy(retries=0, delay=0, timeout=0.2),
            in_event_loop=False,
        )
        assert [r["state"] for r in results.values()] == ["success", "failed", "success"]
        assert results["hangs"]["error"] == {
            "type": "ItemTimeout",
            "message": "no result after 0.2 s (item_timeout)",
        }

    def test_that_comes_as_a_function_returns_hits_no_other_item(self):
        def function(item):
            # Of every two, one returns at about the time at which it would be ended; the other at once.
            until = time.monotonic() + (0.0098 + item * 2e-6 if item % 2 else 0)
            while time.monotonic() < until:
                pass
            return item

        results = done(
            [(str(item), lambda item=item: function(item)) for item in range(200)],
            parts.results(),
            concurrency=2,
            policy=Policy(retries=0, delay=0, timeout=0.01),
            in_event_loop=False,
        )
        assert len(results) == 200
        assert {results[str(item)]["state"] for item in range(0, 200, 2)} == {"success"}
        assert {r["error"]["type"] for r in results.values() if r["error"]} <= {"ItemTimeout"}

    def test_of_a_coroutine_cancels_it_and_is_not_its_own_timeout(self):
        ends = []

        async def hangs():
            try:
                await asyncio.sleep(3600)
            finally:
                ends.append("cancelled")

        async def times_out_itself():
            raise asyncio.TimeoutError("its own")

        calls = [("hangs", hangs), ("own", times_out_itself)]
        results = done(
            calls,
            parts.results(),
            concurrency=2,
            policy=Policy(retries=0, delay=0, timeout=0.2),
            in_event_loop=True,
        )
        assert ends == ["cancelled"]
        assert results["hangs"]["error"]["type"] == "ItemTimeout"
        assert results["own"]["error"] == {"type": "TimeoutError", "message": "its own"}


def test_lines_that_an_item_logs_carry_its_key_and_others_none(work, caplog):
    caplog.set_level(logging.INFO)
    log = logging.getLogger("somebody")

    def function(item):
        log.info("100 %% of %s", item)
        log.info("100 % of it")

    log.info("before")
    work(function, ["50%"], concurrency=1)
    log.info("after")
    assert [r.getMessage() for r in caplog.records if r.name == "somebody"] == [
        "before",
        "[50%] 100 % of 50%",
        "[50%] 100 % of it",
        "after",
    ]


def test_a_failure_is_logged_from_the_function_on(work, caplog):
    work(become, [ValueError("bad")])
    assert "[bad] Failed, the last of 1 tries." in caplog.text
    assert "in become" in caplog.text
    assert "tenacity" not in caplog.text


@pytest.mark.parametrize(("result_bytes", "most"), [(0, 8), (1000, 12)])
def test_memory_grows_by_the_results_and_not_by_the_work(work, result_bytes, most):
    def function(item):
        scratch = bytearray(100_000)
        scratch[item % 100_000] = 1
        return "x" * result_bytes + str(item) if result_bytes else None

    work(function, range(10))  # what is imported and made once
    tracemalloc.start()
    try:
        results = work(function, range(3_000), concurrency=8, save=lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 300 MB of work: rows of some 500 bytes, the calls, the results themselves; and what threads of other tests do.
    assert len(results) == 3_000
    assert peak / 2**20 < most


class TestProcessesThatItemsStart:
    def test_end_with_the_batch_and_those_that_were_there_before_do_not(self):
        before = subprocess.Popen(["sleep", "60"])
        children = Children()
        started = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
        try:
            children.end(5)
            started.wait(5)
            assert before.poll() is None
        finally:
            before.kill()
            started.kill()
