from __future__ import annotations

import tracemalloc

import pytest

from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.partitions import partition_key, piece_key, product, without

DAYS = [{"date": f"2013-01-0{day}"} for day in range(1, 5)]


class TestWithout:
    def test_leaves_what_is_missing_in_the_order_of_the_plan(self):
        assert without(DAYS, [DAYS[2], DAYS[0]]) == [DAYS[1], DAYS[3]]

    def test_of_a_plan_of_keys_gives_keys(self):
        assert without(["date=2013-01-02", "date=2013-01-01"], [DAYS[0]]) == ["date=2013-01-02"]

    def test_where_nothing_is_there_gives_the_plan(self):
        assert without(DAYS, []) == DAYS

    def test_of_no_plan_is_nothing(self):
        assert without([], DAYS) == []

    @pytest.mark.parametrize(
        "there",
        [
            ["date=2013-01-01/origin=EWR"],
            ["origin=EWR/date=2013-01-01"],
            [{"date": "2013-01-01", "origin": "EWR"}],
            [[{"origin": "EWR", "date": "2013-01-01"}], []],
            {"date=2013-01-01/origin=EWR"},
            {"date=2013-01-01/origin=EWR": 305},
            ("date=2013-01-01/origin=EWR#2",),
            iter(["date=2013-01-01/origin=EWR"] * 2),
        ],
        ids=["key", "other order", "dict", "lists", "set", "dict of keys", "numbered", "iterator"],
    )
    def test_takes_partitions_and_keys_in_any_form(self, there):
        if isinstance(there, dict):
            there = there.keys()
        assert without([{"origin": "EWR", "date": "2013-01-01"}], there) == []

    @pytest.mark.parametrize(("value", "other"), [(1, "1"), (True, "true"), (1.5, "1.5"), (None, None)])
    def test_compares_as_keys_do(self, value, other):
        assert without([{"n": value}], [{"n": other}]) == []

    @pytest.mark.parametrize(
        ("value", "other"), [(1, True), (1, 1.0), (True, 1), (0.0, -0.0), ("01", 1), (None, "None")]
    )
    def test_tells_apart_what_keys_tell_apart(self, value, other):
        assert without([{"n": value}, {"n": "x"}], [{"n": other}, {"n": "x"}]) == [{"n": value}]

    @pytest.mark.parametrize(
        "value", ["a/b", "50%", "é", "日本", "NULL", "*", "a=b", "#2", "..", " ", "x" * 600]
    )
    def test_takes_any_value(self, value):
        plan = [{"path": value, "n": 1}, {"path": "other", "n": 1}]
        assert without(plan, [partition_key(plan[0])]) == [plan[1]]

    def test_keeps_what_a_plan_has_twice(self):
        assert without([DAYS[0], DAYS[1], DAYS[0]], [DAYS[1]]) == [DAYS[0], DAYS[0]]

    def test_takes_a_key_that_was_cut(self):
        plan = [{"path": "x" * 600 + end} for end in "ab"]
        cut = piece_key({"partition": plan[1]})
        assert "#~" in cut
        assert without(plan, [cut]) == [plan[0]]
        assert without(plan, [f"{cut}#2"]) == [plan[0]]

    def test_takes_a_key_with_the_digest_of_a_password(self):
        plan = [{"id": 1, "token": "x7"}, {"id": 2, "token": "x8"}]
        shown = piece_key({"partition": plan[0]})
        assert "x7" not in shown
        assert without(plan, [shown]) == [plan[1]]

    def test_ignores_what_the_plan_does_not_have(self):
        assert without(DAYS[:1], [{"date": "2012-12-31"}, {"date": "x", "origin": "EWR"}]) == DAYS[:1]

    def test_keeps_nothing_of_what_is_there(self):
        there = ({"date": f"{number:09}"} for number in range(60_000))
        tracemalloc.start()
        try:
            assert without(DAYS, there) == DAYS
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # What is remembered of values, at most; a list of them would be 20 MB.
        assert peak < 10e6


class TestErrors:
    def test_name_both_where_the_dimensions_differ(self):
        with pytest.raises(PartitionError, match=r"there is 'DATE=2013-01-01'.*plan has 'date=2013-01-01'"):
            without(DAYS, [{"DATE": "2013-01-01"}])

    @pytest.mark.parametrize(
        ("plan", "there", "said"),
        [
            (["landing/a.csv"], [], "'landing/a.csv' is not 'dimension=value'|'landing'"),
            ([7], [], "7 is no partition and no key"),
            ([{}], [], "{} is no partition"),
            ([{"n": [1]}], [], "of type list"),
            (["date=2013-01-01#2"], [], "no whole partition key"),
            (["token=*8cf3ebbdacdd"], [], "has a digest in place"),
            (DAYS, [{"date": ""}], "empty string"),
            (DAYS, ["date=1/date=2"], "twice"),
            (DAYS, "date=2013-01-01", "pass a list"),
            (DAYS, DAYS[0], "pass a list"),
            (DAYS, None, "pass a list"),
            (DAYS, [None], "None is no partition"),
            ({"date": 1}, [], "mapping"),
        ],
    )
    def test_name_what_is_no_partition(self, plan, there, said):
        with pytest.raises(PartitionError, match=said):
            without(plan, there)

    def test_refuse_a_plan_without_end(self):
        with pytest.raises(PlanError, match="1,000,000"):
            without((f"n={n}" for n in range(2_000_000)), [])


def test_a_product_is_compared_as_a_whole():
    plan = product(origin=["EWR", None], year=[2013, 2014], ok=[True, False])
    assert without(plan, reversed([partition_key(one) for one in plan[2:]])) == plan[:2]
