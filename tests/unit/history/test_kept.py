"""Plans in the memory of a process: within a budget, equal ones once, for several threads."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from airflow_mapping_kit.history.kept import Kept
from airflow_mapping_kit.history.pieces import Pieces, coded


def _pieces(*values):
    return Pieces(("date",), *coded([values]))


def test_equal_plans_are_one_object():
    kept = Kept()
    first = kept.put("first run", _pieces("a", "b"))
    assert kept.put("second run", _pieces("a", "b")) is first
    assert kept.get("second run") is first
    assert kept.size == first.size
    assert kept.get("third run") is None


def test_the_plan_that_was_not_asked_for_longest_makes_room():
    size = _pieces("a" * 100).size
    kept = Kept(2 * size)
    for name in "abc":
        kept.put(name, _pieces(name * 100))
        kept.get("a")
    assert [kept.get(name) is not None for name in "abc"] == [True, False, True]
    assert kept.size == 2 * size
    huge = _pieces(*map(str, range(1000)))
    assert kept.put("huge", huge) is huge
    assert kept.get("huge") is None


def test_threads_keep_to_the_budget_and_get_what_was_put():
    kept = Kept(20_000)

    def work(seed):
        rng = random.Random(seed)
        for _ in range(300):
            number = rng.randrange(200)
            found = kept.get(number) or kept.put(number, _pieces(*(f"{number}/{n}" for n in range(10))))
            assert found.values[0][3] == f"{number}/3"
            assert kept.size <= 20_000

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(16)))
