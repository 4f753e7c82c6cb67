"""The dimensions of pieces, and the key that they make of a cell: the one that a piece has everywhere else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mapping_kit.compat import hidden_names
from airflow_mapping_kit.history.dimensions import pieces_of
from airflow_mapping_kit.history.pieces import Pieces, key_of
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.plans.batches import Batched
from airflow_mapping_kit.plans.planned import Plan
from airflow_mapping_kit.plans.planned import key_of as planned_key

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([1.0, -0.5, float("nan"), float("inf"), 1e300]),
    st.text(alphabet="ab/=%#*~ é\n", max_size=3),
    st.sampled_from(
        ["1", "true", "null", "NULL", "__HIVE_DEFAULT_PARTITION__", "2013-01-01", "*8cf3ebbdacdd", "x" * 300]
    ),
)
NAMES = st.sampled_from(["date", "origin", "token", "password", "a/b", "piece"])
PARTITIONS = st.dictionaries(NAMES, SCALARS, max_size=3)
VALUES = st.one_of(SCALARS, PARTITIONS, st.lists(st.one_of(SCALARS, PARTITIONS), max_size=2))


def _keys(pieces: Pieces) -> list[str]:
    of = [pieces.of(piece) for piece in range(len(pieces))]
    return [one[0] for one in of] if pieces.by_key else [key_of(pieces.names, one) for one in of]


def _plan(value):
    return Plan(SimpleNamespace(value=value), lambda _: None)


@given(
    st.dictionaries(
        st.sampled_from(["partition", "x", "token"]),
        st.lists(VALUES, min_size=1, max_size=4),
        min_size=1,
        max_size=2,
    )
)
def test_the_key_of_a_cell_is_the_key_of_its_piece(arguments):
    plan = _plan(arguments)
    pieces = pieces_of(plan, arguments, None)
    assert _keys(pieces) == distinct(planned_key(mapped, arguments) for mapped in plan)


@given(
    st.lists(st.dictionaries(st.sampled_from(["partition", "x"]), VALUES, max_size=2), min_size=1, max_size=4)
)
def test_so_it_is_of_entries_with_arguments_of_their_own(entries):
    plan = _plan(entries)
    assert _keys(pieces_of(plan, entries, None)) == distinct(planned_key(mapped, entries) for mapped in plan)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=3))
def test_so_it_is_of_the_items_of_batches(batches):
    plan, how = _plan({"item": batches}), Batched("item", "item")
    items = [item.key for mapped in plan for item in how.items(mapped, how.batch(mapped))]
    pieces = pieces_of(plan, {"item": batches}, how)
    assert _keys(pieces) == distinct(items)
    assert [len(pieces.held_by(index)) for index in range(len(batches))] == list(map(len, batches))
    assert [pieces.holder(piece) for piece in range(len(pieces))] == [
        n for n, batch in enumerate(batches) for _ in batch
    ]


def test_fields_that_airflow_hides_are_digests_and_names_that_a_generator_chose_the_only_dimensions():
    assert "token" in hidden_names()
    partitions = [{"account": name, "token": f"secret of {name}", "size": 1} for name in ("a1", "a2")]
    pieces = pieces_of(_plan({"partition": partitions}), {"partition": partitions}, None)
    assert pieces.names == ("account", "size", "token")
    assert all(value.startswith("*") for value in pieces.values[2])
    how = Batched("item", "item", fields=["account"])
    assert _keys(pieces_of(_plan({"item": [partitions]}), {"item": [partitions]}, how)) == [
        "account=a1",
        "account=a2",
    ]


@pytest.mark.parametrize(("plan", "names"), [
    ([{"origin": "EWR", "date": "2013-01-01"}, {"origin": "JFK", "date": "2013-01-01"}], ("date", "origin")),
    (["a.csv", "b.csv"], ("partition",)),
    ([{"origin": "EWR"}, {"date": "2013-01-01"}], ("piece",)),
    ([{"origin": "EWR"}, {"origin": "EWR"}], ("piece",)),
])  # fmt: skip
def test_pieces_have_the_dimensions_of_their_partition_or_are_known_by_their_keys(plan, names):
    assert pieces_of(_plan({"partition": plan}), {"partition": plan}, None).names == names


def test_equal_plans_have_one_digest_and_a_hundred_thousand_pieces_take_a_megabyte():
    plan = [{"origin": f"A{number % 25:02}", "date": str(number // 25)} for number in range(100_000)]
    first, second = (pieces_of(_plan({"partition": [*plan]}), {"partition": plan}, None) for _ in range(2))
    assert first.digest == second.digest
    assert first.digest != pieces_of(_plan({"partition": plan[:-1]}), {"partition": plan}, None).digest
    assert first.size < 2**20 + 400_000
