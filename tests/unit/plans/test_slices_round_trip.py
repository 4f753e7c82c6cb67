from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.plans.chunks import chunks
from airflow_mapping_kit.plans.held import items_of
from airflow_mapping_kit.plans.marks import LEAST_SIZE, Cut
from airflow_mapping_kit.plans.plan_files import PlanFile
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.plans.slicing import planned
from airflow_mapping_kit.storage import files

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)  # infinity too
    # Half a pair too, and what some take for the end of a line.
    | st.text()
    | st.sampled_from(["\ud800", "a\nb\r\n", "\u2028\x85\x00", " ", '"', "x" * 300])
)
items = st.recursive(
    scalars, lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(), part, max_size=2)
)
# What plain JSON can't hold, and an XCom can.
# Airflow keeps a moment as a float of seconds.
objects = st.integers(0, 2**31).map(lambda seconds: datetime.fromtimestamp(seconds, timezone.utc))
elements = st.lists(items | objects, max_size=30)


class Xcoms(dict):
    """The XComs of one task, as they go through JSON."""

    task_id = "orders"

    def xcom_push(self, key, value):
        self[key] = json.dumps(value)

    def xcom(self, dag_id, run_id, task_id, map_index, key):
        assert (dag_id, run_id, task_id, map_index) == ("d", "r", "orders", -1)
        return json.loads(self[key]) if key in self else None


@contextmanager
def places(kind):
    """Give a place for a plan, and what reads it."""
    xcoms = Xcoms()
    if kind == "xcoms":
        yield chunks(xcoms), xcoms
        return
    with tempfile.TemporaryDirectory() as folder:

        @contextmanager
        def file():
            where = str(Path(folder, "plan.jsonl"))
            with files.whole(where) as opened:
                yield PlanFile(where, opened)

        yield file(), xcoms


def read(batches, reading):
    """Return the items of a plan in lists, and see that its numbers are right."""
    slices = [Slice.of(json.loads(json.dumps(one))) for one in batches]
    found, number = [], 0
    for one in slices:
        assert one is not None
        numbered = list(items_of(one, reading, "d", "r"))
        assert [at for at, _ in numbered] == list(range(number, number + one.count))
        assert one.first == number
        number += one.count
        found.append([item for _, item in numbered])
    assert {one.total for one in slices} <= {number}
    return slices, found


def cut_by_hand(plan, size):
    return [plan[start : start + size] for start in range(0, len(plan), size)]


def short(item):
    try:
        text = json.dumps(item, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError):
        return None
    # Nor what PostgreSQL refuses in JSON.
    size = len(json.dumps(item, separators=(",", ":")))
    return item if size <= 200 and "\\u0000" not in text else None


@given(elements, st.integers(1, 40), st.sampled_from(["file", "xcoms"]), st.integers(0, 300))
@example(["x" * 200_000] * 5 + list("abc"), 2, "xcoms", 0)
def test_slices_hold_what_lists_would_in_order_with_their_ends(plan, size, kind, most_bytes):
    with places(kind) as (place, reading):
        made = planned(iter(plan), Cut("orders", 1024, size), place, most_bytes=most_bytes)
        assert made.items == len(plan)
        if made.where is None:
            assert made.batches == cut_by_hand(plan, size)
            return
        slices, found = read(made.batches, reading)
    assert found == cut_by_hand(plan, size)
    assert [one.ends for one in slices] == [[short(part[0]), short(part[-1])] for part in found]


def test_an_end_that_is_too_long_is_what_names_it_and_not_what_became_of_it_later():
    def orders():
        order = {}
        for number in range(4):
            order.update(
                id=number, at=datetime(2024, 1, 1, tzinfo=timezone.utc), text="x" * 300 * (number == 1)
            )
            yield order

    for named_by, ends in [(["id"], [{"id": 0}, {"id": 1}]), (["at"], [None, None]), (None, [None, None])]:
        with places("file") as (place, reading):
            made = planned(orders(), Cut("orders", 9, 2, named_by=named_by), place, most_bytes=0)
            slices, found = read(made.batches, reading)
        assert slices[0].ends == ends
        assert [item["id"] for batch in found for item in batch] == [0, 1, 2, 3]


@given(st.lists(st.lists(items, max_size=4), max_size=20), st.sampled_from(["file", "xcoms"]))
def test_batches_that_come_ready_made_keep_their_items_the_empty_ones_too(plan, kind):
    with places(kind) as (place, reading):
        made = planned(iter(plan), Cut("orders", 1024, ready=True), place, most_bytes=0)
        found = made.batches if made.where is None else read(made.batches, reading)[1]
    assert found == plan


@given(st.integers(0, 3000), st.integers(1, 9), st.sampled_from(["file", "xcoms"]))
@example(LEAST_SIZE * 8, 8, "file")
@example(LEAST_SIZE * 8 + 1, 8, "file")
def test_a_size_is_chosen_so_that_no_more_batches_result_than_there_may_be(number, most, kind):
    with places(kind) as (place, reading):
        made = planned(iter(range(number)), Cut("orders", most), place, most_bytes=0)
        slices, found = read(made.batches, reading) if made.where else ([], made.batches)
    assert [item for batch in found for item in batch] == list(range(number))
    size = LEAST_SIZE
    while size * most < number:
        size *= 2
    assert [len(batch) for batch in found] == [len(batch) for batch in cut_by_hand(range(number), size)]
    assert [one.ends for one in slices] == [[batch[0], batch[-1]] for batch in found]


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 1))
def test_one_batch_more_than_there_may_be_is_an_error_as_soon_as_it_begins(size, most, more):
    def endless():
        yield from range(size * most + more)
        if more:
            pytest.fail("it was read on")

    with places("file") as (place, reading):
        cut = Cut("orders", most, size)
        if not more:
            assert len(read(planned(endless(), cut, place, most_bytes=1).batches, reading)[1] or [0]) == most
            return
        with pytest.raises(PlanError, match=f"orders made more than {most} batches of {size} items"):
            planned(endless(), cut, place, most_bytes=1)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=50), st.integers(1, 7), st.data())
def test_a_file_that_was_cut_off_never_gives_another_item(plan, size, data):
    with places("file") as (place, reading):
        made = planned(iter(plan), Cut("orders", 1024, size), place, most_bytes=0)
        if made.where is None:
            return
        path = Path(made.where)
        whole = path.read_bytes()
        at = data.draw(st.integers(0, len(whole) - 2))
        path.write_bytes(whole[:at])
        found = []

        def all_of_it():
            for one in map(Slice.of, made.batches):
                found.extend(item for _, item in items_of(one, reading, "d", "r"))

        with pytest.raises(
            ValueError, match=r"has changed since the plan was made: its bytes .* Clear the task that made it"
        ):
            all_of_it()
    assert found == plan[: len(found)]
