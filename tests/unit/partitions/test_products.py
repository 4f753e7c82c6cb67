from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.partitions import product, zipped


class TestProduct:
    def test_the_last_dimension_is_the_fastest(self):
        assert product(b=[1, 2], a=["x", "y"]) == [
            {"b": 1, "a": "x"},
            {"b": 1, "a": "y"},
            {"b": 2, "a": "x"},
            {"b": 2, "a": "y"},
        ]

    def test_values_keep_their_types_and_dimensions_their_order(self):
        (partition,) = product(z=[None], a=[True], m=[1.5], k=(value for value in ["text"]))
        assert list(partition.items()) == [("z", None), ("a", True), ("m", 1.5), ("k", "text")]

    def test_exclude_leaves_out_every_partition_that_holds_a_partial_one(self):
        plan = product(
            origin=["EWR", "JFK", "LGA"],
            year=[2012, 2013],
            half=[1, 2],
            exclude=[
                {"origin": "LGA"},
                {"half": 2, "origin": "EWR"},
                {"year": "2013", "half": 1, "origin": "JFK"},
            ],
        )
        assert plan == [
            {"origin": "EWR", "year": 2012, "half": 1},
            {"origin": "EWR", "year": 2013, "half": 1},
            {"origin": "JFK", "year": 2012, "half": 1},
            {"origin": "JFK", "year": 2012, "half": 2},
            {"origin": "JFK", "year": 2013, "half": 2},
        ]

    def test_exclude_compares_keys_so_1_is_not_true(self):
        assert product(flag=[1, True, 1.0], exclude=[{"flag": True}]) == [{"flag": 1}, {"flag": 1.0}]

    def test_exclude_may_hold_values_that_are_not_there_and_leave_nothing(self):
        assert product(a=[1], exclude=[{"a": 2}]) == [{"a": 1}]
        assert product(a=[1], b=[1, 2], exclude=[{"a": 1}]) == []

    def test_exclude_does_not_change_the_callers_lists(self):
        values = [1, 2]
        product(a=values, exclude=[{"a": 1}])
        assert values == [1, 2]

    @pytest.mark.parametrize(
        ("exclude", "named"),
        [
            ([{"orign": "EWR"}], "'orign': use those of the product, 'origin'"),
            ([{}], "{}"),
            (["EWR"], "no dimension can be called 'exclude'"),
            ([{"origin": ["EWR"]}], r"\['EWR'\] of type list"),
            ([{"origin": ""}], "empty string"),
            ({"origin": "EWR"}, "pass a list"),
            ("EWR", r"\['EWR'\]"),
            (None, "not a list"),
        ],
    )
    def test_a_wrong_exclude_is_an_error_that_says_how(self, exclude, named):
        with pytest.raises(PartitionError, match=named):
            product(origin=["EWR"], exclude=exclude)


@pytest.mark.parametrize("combine", [product, zipped])
class TestDimensions:
    @pytest.mark.parametrize(
        ("values", "named"),
        [
            ("EWR", r"\['EWR'\]"),
            (b"EWR", "list"),
            ({"EWR": 1}, "mapping"),
            ({"EWR", "JFK"}, "no order"),
            (5, "not a list"),
            (None, "not a list"),
            ([["EWR"]], r"\['EWR'\] of type list"),
            ([{"a": 1}], "of type dict"),
            ([b"x"], "of type bytes"),
            ([object], "of type type"),
            ([""], "empty string"),
            ([float("nan")], "nan"),
            ([float("-inf")], "-inf"),
            (["__HIVE_DEFAULT_PARTITION__"], "use None"),
            (["\ud83d"], "surrogate"),
        ],
    )
    def test_a_wrong_dimension_is_an_error_that_names_it(self, combine, values, named):
        with pytest.raises(PartitionError, match=named) as error:
            combine(origin=values)
        assert "'origin'" in str(error.value)

    def test_an_empty_dimension_is_a_plan_error_that_names_it(self, combine):
        with pytest.raises(PlanError, match=r"dimension 'origin' is empty"):
            combine(date=["2013-01-01"], origin=[])

    def test_no_dimension_is_a_plan_error(self, combine):
        with pytest.raises(PlanError, match="at least one"):
            combine()

    def test_a_dimension_without_a_name_is_an_error(self, combine):
        with pytest.raises(PartitionError, match="'' can't name a dimension"):
            combine(**{"": [1]})


class TestRepeats:
    def test_a_repeated_value_is_an_error_that_names_it(self):
        with pytest.raises(PartitionError, match="dimension 'origin' has the value 'EWR' twice"):
            product(origin=["EWR", "JFK", "EWR"])

    @pytest.mark.parametrize(("first", "second"), [(1, "1"), (True, "true"), (1.5, "1.5")])
    def test_values_with_one_key_are_an_error_that_names_both(self, first, second):
        with pytest.raises(PartitionError) as error:
            product(id=[first, second])
        assert f"{first!r} and {second!r}" in str(error.value)

    def test_zipped_may_repeat_a_value_but_not_a_partition(self):
        assert zipped(a=[1, 1], b=[1, 2]) == [{"a": 1, "b": 1}, {"a": 1, "b": 2}]
        with pytest.raises(PartitionError, match=r"\{'a': 1, 'b': 1\} .* \{'a': '1', 'b': 1\}"):
            zipped(a=[1, 2, "1"], b=[1, 2, 1])


def test_zipped_goes_through_the_positions():
    assert zipped(country=["US", "DE"], currency=["USD", "EUR"]) == [
        {"country": "US", "currency": "USD"},
        {"country": "DE", "currency": "EUR"},
    ]


def test_zipped_dimensions_of_unequal_length_are_an_error_that_names_the_lengths():
    with pytest.raises(PartitionError, match="'country' has 2, 'currency' has 3"):
        zipped(country=["US", "DE"], currency=["USD", "EUR", "GBP"])
