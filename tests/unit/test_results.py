from __future__ import annotations

from airflow_mapping_kit.results import counts


def test_counts_say_how_many_pieces_are_in_which_state():
    states = ["success", "failed", "success", "skipped", "upstream_failed", "not_started", "success"]
    assert counts({"state": state} for state in states) == {
        "total": 7,
        "succeeded": 3,
        "failed": 1,
        "skipped": 1,
        "upstream_failed": 1,
        "not_started": 1,
    }


def test_counts_of_nothing_are_zero():
    assert set(counts([]).values()) == {0}
