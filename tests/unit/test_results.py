from __future__ import annotations

from airflow_mapping_kit.results import PART, counts, part_of


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


def test_a_summary_is_known_by_what_stands_around_it_and_nothing_else_is_one():
    summary = {"where": "xcom", "first": 0, "count": 2, "total": 2, "states": {"success": 2}}
    assert part_of({PART: summary}) == summary
    for other in (summary, [], None, "mapping_kit_part", {PART: summary, "more": 1}):
        assert part_of(other) is None
