"""How the campaign judges what its witnesses have heard."""

from __future__ import annotations

import json

from chaos.effects import beyond
from chaos.page import write
from chaos.verdict import Seen
from chaos.witness import Effect


def effects(*heard):
    """Effects as (second, item, try)."""
    return [Effect(float(at), "item", str(item), "worker-1", 0, attempt) for at, item, attempt in heard]


def test_what_a_killed_try_did_in_its_last_second_may_be_done_again():
    doubled, repeated, _ = beyond(effects((0, "a", 1), (9, "b", 1), (40, "b", 2), (41, "c", 2)), seconds=0.1)

    assert (doubled, repeated) == ([], 1)


def test_what_a_killed_try_did_long_before_was_saved_and_may_not():
    doubled, repeated, _ = beyond(effects((0, "a", 1), (9, "b", 1), (40, "a", 2), (41, "c", 2)), seconds=0.1)

    assert doubled == ["item a, 9.0 s before its try fell silent"]
    assert repeated == 0


def test_one_try_may_do_nothing_twice():
    doubled, _, _ = beyond(effects((0, "a", 1), (1, "a", 1)), seconds=0.1)

    assert doubled == ["item a, by one try"]


def test_one_that_froze_before_it_began_may_do_once_more_what_the_try_that_has_succeeded_did_at_its_end():
    done = [(40, "a", 2), (49, "b", 2)]
    assert beyond(effects(*done, (70, "b", 2)), seconds=0.1)[:2] == ([], 1)
    assert beyond(effects(*done, (70, "a", 2)), seconds=0.1)[0] == [
        "item a, 9.0 s before its try fell silent"
    ]


def test_an_owner_that_is_back_may_do_what_it_does_before_it_looks_and_no_more():
    frozen = [(0, "a", 1), (60, "b", 1), (61, "c", 1), (40, "b", 2), (41, "c", 2)]
    assert beyond(effects(*frozen), seconds=0.1)[:2] == ([], 2)

    went_on = [*frozen, (66, "d", 1), (50, "d", 2)]
    assert beyond(effects(*went_on), seconds=0.1)[0] == [
        "item b, 6.0 s before its try fell silent",
        "item c, 5.0 s before its try fell silent",
    ]


def test_a_verdict_is_right_only_where_nothing_is_lost_doubled_or_wrong_and_the_run_ended_as_it_should():
    right = Seen("work", 10, "success", repeated=2, seconds=31)
    assert right.right
    assert right.verdict == (
        "Right: of 10 0 lost, 0 doubled, 2 done again as documented, the run ended success 31 s after the last fault."
    )

    for what in (
        {"lost": ["a"]},
        {"doubled": ["a"]},
        {"wrong": ["a label"]},
        {"state": "failed"},
        {"state": None},
    ):
        seen = Seen(**{"work": "work", "pieces": 10, "state": "success", **what})
        assert not seen.right
        assert seen.verdict.startswith("WRONG: of 10 ")


def test_the_page_adds_up_what_was_seen_and_names_what_was_wrong(tmp_path):
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    seen = [
        Seen("items", 50, "success", hit=2, repeated=3, seconds=20),
        Seen("items", 50, "success", lost=["7"]),
    ]
    said = {"experiment": "two-owners", "airflow": "2.10.5", "at": "2026-11-26 10:00:00", "seed": 7}
    results.write_text("".join(json.dumps({**said, **one.as_row()}) + "\n" for one in seen))
    page.write_text("a\n<!-- measured: workers -->\nold\n<!-- until here -->\nb\n")

    write(results, page)

    text = page.read_text()
    assert "| items | 2 | 1 | 2 | 1 | 0 | 3 | 20, 20 |" in text
    assert "- `two-owners`, items: WRONG: of 50 1 lost (7)" in text
    assert "Airflow 2.10.5, 2026-11-26, seeds 7." in text
    assert "old" not in text
    assert text.startswith("a\n")
    assert text.endswith("b\n")
