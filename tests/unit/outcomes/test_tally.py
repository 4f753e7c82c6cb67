from __future__ import annotations

from airflow_mapping_kit.failures import summed
from airflow_mapping_kit.outcomes.tally import Tally


def of_part(states, errors, keys, named):
    made = Tally()
    made.states.update(states)
    made.add_errors(errors, keys, named)
    return made


def test_a_tally_of_many_parts_says_the_commonest_errors_and_the_first_keys():
    made = Tally()
    for part in range(100):
        errors = {
            "TypeError: text": 60,
            "ValueError": 30 + part % 2,
            **{f"Odd{n}: {part}": 1 for n in range(3)},
        }
        failed = sum(errors.values())
        made.add(
            of_part(
                {"success": 1000 - failed, "failed": failed},
                errors,
                [f"id={part}.{n}" for n in range(20)],
                20,
            )
        )
    assert made.counts["total"] == 100_000
    assert made.failed == 9_350
    text = summed(made.errors, made.keys, made.named).splitlines()
    assert text[:6] == [
        "6,000 × TypeError: text",
        "3,050 × ValueError",
        "1 × Odd0: 0",
        "1 × Odd1: 0",
        "1 × Odd2: 0",
        "297 × other errors",
    ]
    assert text[6:] == ["of them", *(f"  id=0.{n}" for n in range(20)), "and 9,330 more"]


def test_a_batch_that_never_began_is_one_line_that_stands_for_all_its_items():
    made = of_part({"not_started": 500}, {"not started": 500}, ["items 1–500 of 1,000 ([0])"], 500)
    made.add(of_part({"success": 499, "failed": 1}, {"ValueError": 1}, ["id=7"], 1))
    assert summed(made.errors, made.keys, made.named).splitlines() == [
        "500 × not started",
        "1 × ValueError",
        "of them",
        "  items 1–500 of 1,000 ([0])",
        "  id=7",
    ]


def test_errors_that_are_all_different_take_no_more_memory_than_a_thousand():
    made = Tally()
    for number in range(5000):
        made.add(
            Tally.of(
                [{"key": str(number), "state": "failed", "error": {"type": "E", "message": str(number)}}]
            )
        )
    assert len(made.errors) == 1001
    assert made.errors["other errors"] == 4000
    assert made.errors.total() == made.failed == 5000
