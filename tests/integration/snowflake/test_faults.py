"""Loads that were killed, or whose answers were lost, and what the next try makes of them."""

from __future__ import annotations

import multiprocessing

import pytest

KEYS = ["landing/20130101/EWR.csv", "landing/20130101/JFK.csv"]
ROWS = [(1, "EWR"), (2, "JFK"), (3, "JFK")]


@pytest.fixture
def landed(warehouse):
    warehouse.put(KEYS[0], b"1,EWR\n")
    warehouse.put(KEYS[1], b"2,JFK\n3,JFK\n")
    return warehouse


@pytest.mark.parametrize("statement", ["COPY INTO", "COMMIT"])
def test_a_lost_answer_doubles_nothing(landed, through_proxy, statement):
    proxy = through_proxy(statement, "cut")

    result = landed.load(KEYS)

    assert proxy.reached.is_set()
    assert sum(sql.startswith(statement) for sql in proxy.statements) == 2
    assert {row["status"] for row in result} <= {"loaded", "already_loaded"}
    assert landed.rows() == ROWS


@pytest.mark.parametrize(
    ("statement", "fault", "status"),
    [
        ("COPY INTO", "hold before", "loaded"),
        ("COPY INTO", "hold", "loaded"),
        ("COMMIT", "hold before", "loaded"),
        ("COMMIT", "hold", "already_loaded"),
    ],
)
def test_after_a_kill_the_next_try_ends_with_every_row_once(landed, through_proxy, statement, fault, status):
    proxy = through_proxy(statement, fault)
    operator = landed.operator(KEYS)
    task = multiprocessing.get_context("fork").Process(target=operator.execute, args=({},))
    task.start()
    try:
        assert proxy.reached.wait(60)
        assert task.is_alive()
    finally:
        task.kill()
        task.join()
    proxy.released.set()

    result = landed.load(KEYS)

    assert [row["status"] for row in result] == [status] * 2
    assert landed.rows() == ROWS
