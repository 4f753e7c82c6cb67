from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mapping_kit.partitions import partition_key, piece_key, without

DEFAULT = "__HIVE_DEFAULT_PARTITION__"
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text != DEFAULT)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["1", "true", "NULL", "0.0", "a/b", "x" * 600])
    | texts
)
# Of the same few dimensions, one of which is hidden, so that some are there.
partitions = st.fixed_dictionaries({"a": scalars, "token": scalars})
forms = st.sampled_from(
    [dict, partition_key, lambda one: dict(reversed(one.items())), lambda one: [one], lambda one: [[one]]]
)


def plainly(plan, there):
    keys = {partition_key(one) for one in there}
    return [one for one in plan if partition_key(one) not in keys]


@given(st.lists(partitions), st.lists(partitions), st.data())
def test_it_is_the_difference_of_the_keys_however_what_is_there_is_written(plan, others, data):
    there = others + data.draw(st.lists(st.sampled_from(plan))) if plan else others
    written = [data.draw(forms)(one) for one in there]
    assert without(plan, iter(written)) == plainly(plan, there)
    assert without([partition_key(one) for one in plan], written) == [
        partition_key(one) for one in plainly(plan, there)
    ]


@given(st.lists(partitions), st.data())
def test_what_is_missing_and_what_is_there_make_the_plan(plan, data):
    there = data.draw(st.lists(st.sampled_from(plan))) if plan else []
    missing = without(plan, there)
    assert without(plan, missing) == plainly(plan, missing)
    assert len(missing) + len(without(plan, missing)) == len(plan)
    assert without(missing, there) == missing
    assert without(plan, plan) == []


@settings(max_examples=50)
@given(st.lists(partitions, min_size=1), st.data())
def test_the_keys_of_a_report_name_what_they_were_made_of(plan, data):
    loaded = data.draw(st.lists(st.sampled_from(plan)))
    shown = [piece_key({"partition": one}) for one in loaded]
    done = set(shown)
    # Those of which the report says the same are the same to it.
    assert without(plan, shown) == [one for one in plan if piece_key({"partition": one}) not in done]
