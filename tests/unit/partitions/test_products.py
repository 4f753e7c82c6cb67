from __future__ import annotations

import itertools
import tracemalloc

import pytest

from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.partitions import batches, date_range, product, zipped
from airflow_mapping_kit.partitions.limits import at_most


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

    def test_without_values_makes_nothing(self, combine):
        assert combine(origin=[], date=[]) == []

    def test_without_values_hides_no_other_mistake(self, combine):
        with pytest.raises(PartitionError, match="'date' is None, not a list: pass a list, or let"):
            combine(origin=[], date=None)

    def test_no_dimension_is_a_plan_error(self, combine):
        with pytest.raises(PlanError, match="at least one"):
            combine()

    def test_a_dimension_without_a_name_is_an_error(self, combine):
        with pytest.raises(PartitionError, match="'' can't name a dimension"):
            combine(**{"": [1]})


def test_a_product_with_an_empty_dimension_is_empty():
    assert product(date=["2013-01-01"], origin=[]) == []
    assert product(date=["2013-01-01"], origin=["EWR"], exclude=[{"origin": "EWR"}]) == []


class TestTooMany:
    """A plan is counted before it is made: one error names the number and the limit."""

    @pytest.fixture
    def little_memory(self):
        tracemalloc.start()
        yield
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10_000_000

    @pytest.mark.usefixtures("little_memory")
    def test_combinations_are_counted_and_not_made(self):
        with pytest.raises(
            PlanError, match=r"'store' \(5,000\) × 'day' \(5,000\) are 25,000,000 .* at most 1,000,000"
        ):
            product(store=range(5000), day=range(5000))

    def test_those_that_are_left_out_do_not_count(self):
        exclude = [{"a": a, "b": b} for a in range(20) for b in range(20)]
        assert len(product(a=range(21), b=range(21), c=range(2500), exclude=exclude)) == 41 * 2500

    @pytest.mark.parametrize(
        "make",
        [
            lambda: product(n=range(10**30)),
            lambda: zipped(n=range(10**30, 0, -1)),
            lambda: batches(itertools.count(), batch_size=2),
        ],
    )
    def test_a_list_without_end_is_never_read(self, make):
        with pytest.raises(PlanError, match="at most 1,000,000"):
            make()

    @pytest.mark.usefixtures("little_memory")
    @pytest.mark.parametrize(("every", "number"), [("day", "657,468"), ("hour", "15,779,232")])
    def test_the_dates_of_a_year_mistyped_are_counted_and_not_made(self, every, number):
        named = f"the {every}s from '0213-01-01' to '2013-01-31' are {number} pieces"
        with at_most(1024, str), pytest.raises(PlanError, match=named):
            date_range("0213-01-01", "2013-01-31", every=every)

    @pytest.mark.parametrize("every", ["hour", "day", "week", "month", "quarter", "year"])
    @pytest.mark.parametrize("zone", ["UTC", "Pacific/Apia", "America/Havana"])
    def test_as_many_as_the_limit_are_made(self, every, zone):
        dates = "2010-02-03", "2012-03-04" if every != "hour" else "2010-03-04"
        made = date_range(*dates, every=every, timezone=zone)
        with at_most(len(made), str):
            assert date_range(*dates, every=every, timezone=zone) == made
        with at_most(len(made) - 1, str), pytest.raises(PlanError, match=f"are {len(made):,} pieces"):
            date_range(*dates, every=every, timezone=zone)


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
