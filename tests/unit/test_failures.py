from __future__ import annotations

from airflow_mapping_kit.failures import described


def failed(key, kind="ValueError", message="no such file", state="failed"):
    return {
        "key": key,
        "state": state,
        "error": {"type": kind, "message": message} if kind or message else None,
    }


def test_failures_are_grouped_by_error_the_most_frequent_first():
    text = described(
        [
            failed("date=2013-01-01/origin=EWR", "KeyError", "'x'"),
            failed("date=2013-01-01/origin=JFK"),
            failed("date=2013-01-02/origin=JFK"),
        ]
    )
    assert text.splitlines() == [
        "2 × ValueError: no such file (origin: JFK 2)",
        "  date=2013-01-01/origin=JFK",
        "  date=2013-01-02/origin=JFK",
        "1 × KeyError: 'x'",
        "  date=2013-01-01/origin=EWR",
    ]


def test_twenty_keys_are_named_and_the_others_counted():
    lines = described([failed(f"n={n}") for n in range(1025)]).splitlines()
    assert lines[0] == "1,025 × ValueError: no such file"
    assert lines[1:-1] == [f"  n={n}" for n in range(20)]
    assert lines[-1] == "and 1,005 more"


def test_twenty_keys_are_named_of_all_groups_together():
    text = described(
        [failed(f"a={n}") for n in range(15)] + [failed(f"b={n}", "KeyError") for n in range(10)]
    )
    assert text.count("  a=") == 15
    assert text.count("  b=") == 5
    assert text.endswith("and 5 more")


def test_a_message_is_its_first_line_and_not_too_long():
    (head, _) = described([failed("x=1", "OSError", "first\nsecond")]).splitlines()
    assert head == "1 × OSError: first"
    (head, _) = described([failed("x=1", "OSError", "e" * 1000)]).splitlines()
    assert head == f"1 × OSError: {'e' * 200}…"


def test_what_left_no_exception_says_what_became_of_it():
    text = described(
        [
            failed("x=1", None, "no exception recorded"),
            failed("x=2", None, None, "upstream_failed"),
        ]
    )
    assert text.splitlines()[::2] == [
        "1 × no exception recorded",
        "1 × upstream failed",
    ]


def test_keys_of_equal_pieces_and_keys_that_are_no_partition():
    text = described([failed("x=1"), failed("x=1#2"), failed("{}", "KeyError")])
    assert text.splitlines() == [
        "2 × ValueError: no such file (x: 1 2)",
        "  x=1",
        "  x=1#2",
        "1 × KeyError: no such file",
        "  {}",
    ]


def test_what_failures_have_in_common_is_said_by_dimension():
    failures = [failed(f"date={day}/origin={origin}") for day in range(10) for origin in ("EWR", "JFK")]
    failures += [failed(f"date={day}/origin=LGA") for day in range(5)]
    head = described(failures).splitlines()[0]
    assert head == (
        "25 × ValueError: no such file (date: 0 3, 1 3, 2 3 and 7 other values; origin: EWR 10, JFK 10, LGA 5)"
    )
