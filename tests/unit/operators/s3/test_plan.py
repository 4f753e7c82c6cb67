"""Which key goes where, and what is refused before anything moves."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.operators.s3.plan import planned_moves


def plan(keys, **arguments):
    defaults = {
        "source_bucket": "lake",
        "source_prefix": "landing/",
        "dest_bucket": "lake",
        "dest_prefix": "processed/",
    }
    return [move.dest_key for move in planned_moves(keys, **{**defaults, **arguments})]


def test_the_source_prefix_is_replaced_once_and_at_the_beginning():
    assert plan(["landing/landing/a", "landing//b", "landing/{{ x }}"]) == [
        "processed/landing/a",
        "processed//b",
        "processed/{{ x }}",
    ]


def test_prefixes_are_text_not_directories():
    assert plan(["day1/a", "day10/a"], source_prefix="day1", dest_prefix="old-day1") == [
        "old-day1/a",
        "old-day10/a",
    ]


def test_another_bucket_may_have_the_same_prefix():
    assert plan(["landing/a"], dest_bucket="archive", dest_prefix="landing/") == ["landing/a"]


def test_a_whole_bucket_moves_only_where_that_is_said():
    with pytest.raises(StorageError, match=r"source_prefix is empty.*'lake'.*whole_bucket=True"):
        plan(["a"], source_prefix="", dest_bucket="archive")
    assert plan(["a"], source_prefix="", dest_bucket="archive", whole_bucket=True) == ["processed/a"]


@pytest.mark.parametrize(
    ("source_prefix", "dest_prefix"),
    [("landing/", "landing/"), ("landing/", "landing/done/"), ("landing", "landing-done/")],
)
def test_a_destination_below_the_source_is_refused(source_prefix, dest_prefix):
    with pytest.raises(StorageError, match=f"dest_prefix '{dest_prefix}' lies under source_prefix"):
        plan([], source_prefix=source_prefix, dest_prefix=dest_prefix)


def test_a_key_that_would_come_to_lie_below_the_source_again_is_refused():
    assert plan(["a/b/c"], source_prefix="a/b/", dest_prefix="a/") == ["a/c"]
    with pytest.raises(StorageError, match="'a/b/b/c' would go to 'a/b/c'"):
        plan(["a/b/b/c"], source_prefix="a/b/", dest_prefix="a/")


def test_a_key_outside_the_source_prefix_is_refused_and_named():
    with pytest.raises(StorageError, match=r"'landing2/b' does not begin with source_prefix 'landing/'"):
        plan(["landing/a", "landing2/b"])


def test_a_key_that_stands_twice_is_refused_and_named():
    with pytest.raises(StorageError, match="'landing/a' is in keys twice"):
        plan(["landing/a", "landing/b", "landing/a"])


def test_a_key_alone_is_a_list_of_one():
    assert plan("landing/a") == plan(["landing/a"]) == ["processed/a"]


@pytest.mark.parametrize("keys", ["", [["landing/a"]], [None], [""], None, {"landing/a": 1}])
def test_what_is_no_list_of_keys_is_refused(keys):
    with pytest.raises(ValueError, match="list"):
        plan(keys)


def test_a_new_key_that_s3_would_not_take_is_refused():
    fits = "é" * ((1024 - len("processed/")) // 2)
    assert plan([f"landing/{fits}"]) == [f"processed/{fits}"]
    with pytest.raises(StorageError, match="1026 bytes"):
        plan([f"landing/{fits}é"])
    with pytest.raises(StorageError, match="0 bytes"):
        plan(["landing/"], dest_bucket="archive", dest_prefix="")


@pytest.mark.parametrize(
    "arguments",
    [{"source_bucket": ""}, {"dest_bucket": "s3://lake"}, {"source_prefix": None}, {"dest_prefix": 1}],
)
def test_what_is_no_bucket_or_prefix_is_refused_by_name(arguments):
    (name,) = arguments
    with pytest.raises(StorageError, match=f"{name} is "):
        plan(["landing/a"], **arguments)
