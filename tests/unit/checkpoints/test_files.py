"""What is done of a batch, in files: whatever is killed when, every item is in one row."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from airflow_mapping_kit.checkpoints import files as kept
from airflow_mapping_kit.checkpoints.files import Files
from airflow_mapping_kit.checkpoints.part import Part, Span
from airflow_mapping_kit.storage import files

NUMBER = 40
ALL = range(100, 140)


class Killed(BaseException):
    """The process ends here."""


class Pointer:
    """What Airflow keeps of an instance beyond its tries."""

    def __init__(self):
        self.name = None

    def read(self):
        return self.name

    def write(self, name):
        self.name = name

    def delete(self, session):
        self.name = None


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Have files in a folder."""
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", str(tmp_path))
    return tmp_path


def begun(try_number=1, max_tries=5, pointer=None, retries=5):
    """Return a part as a process has it that begins to work on the instance, and what is done already."""
    task = SimpleNamespace(retries=retries)
    names = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 3}
    instance = SimpleNamespace(**names, max_tries=max_tries, try_number=try_number, task=task)
    span = Span(100, NUMBER, 1_000)
    part = Part(Files(instance, pointer, None), instance, span, as_list=False, most_bytes=1)
    part.take_over(lambda: ((item, f"n={item}") for item in ALL))
    return part


def work(part, items=ALL, *, failed=(), value="x", every=7):
    """Hand over results, saved after so many."""
    for at, item in enumerate(items, 1):
        if not part.is_done(item):
            bad = item in failed
            error = {"type": "ValueError", "message": value} if bad else None
            state = "failed" if bad else "success"
            row = {"key": f"n={item}", "state": state, "value": None if bad else value, "error": error}
            part.add(item, {**row, "tries": 1, "duration_s": 0.1})
        if at % every == 0:
            part.save()


def rows(uri):
    return [json.loads(line) for line in files.lines(uri)]


def summary(part):
    found = part.finish()["mapping_kit_part"]
    assert sorted(row["item"] for row in rows(found["where"])) == list(ALL)
    assert sum(found["states"].values()) == NUMBER
    assert sum(len(line) + 1 for line in files.lines(found["where"])) == found["bytes"]
    return found


def test_a_part_has_a_row_an_item_and_those_that_failed_apart(place):
    part = begun()
    work(part, failed={101, 120, 139})
    found = summary(part)
    assert sorted(row["item"] for row in rows(found["failed_in"])) == [101, 120, 139]
    assert {path.name for path in place.rglob("*.jsonl")} == {
        one.rpartition("/")[2] for one in (found["where"], found["failed_in"])
    }


@pytest.mark.parametrize("moment", range(30))
def test_a_process_that_is_killed_at_any_moment_loses_what_it_had_not_saved_and_no_more(moment, monkeypatch):
    """Such a moment is before and after every file that is written or deleted, and when a file is half written."""
    pointer, left = Pointer(), [moment]
    whole, delete = files.whole, files.delete

    def step():
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    @contextmanager
    def half_written(uri):
        step()
        with whole(uri) as file:
            yield file
            step()
        step()

    def deleted(*uris):
        step()
        delete(*uris)
        step()

    part = begun(pointer=pointer)
    work(part, failed={110})
    part.finish()
    with monkeypatch.context() as patched:
        patched.setattr(files, "delete", deleted)
        patched.setattr(files, "whole", half_written)
        try:
            part = begun(2, pointer=pointer)
            assert [item for item in ALL if not part.is_done(item)] == [110]
            work(part, failed={110})
            part.finish()
        except Killed:
            pass
    assert {row["item"] for row in map(json.loads, kept.left_by("d", "r", "t", 3, 5)) if row["value"]} == {
        *ALL
    } - {110}
    part = begun(3, pointer=pointer)
    work(part)
    found = summary(part)
    assert found["states"] == {"success": NUMBER}
    assert found["failed_in"] is None


def test_two_processes_that_work_on_one_instance_leave_each_others_results_whole():
    frozen = begun()
    work(frozen, range(100, 120), value="the old one's")
    other = begun(2)
    work(other, range(100, 130), value="the new one's")
    # It comes back, saves and ends before the other does.
    work(frozen, range(120, 140), value="the old one's")
    old = summary(frozen)
    work(other, range(130, 140), value="the new one's")
    with pytest.raises(FileNotFoundError):
        # What it took over has gone into a part of the old one.
        other.finish()
    # Its retry finds all that both have done.
    last = begun(3)
    assert all(last.is_done(item) for item in ALL)
    new = summary(last)
    assert old["where"] != new["where"]


def test_what_comes_back_later_leaves_the_part_alone():
    frozen = begun()
    work(frozen, range(100, 120), value="the old one's")
    other = begun(2)
    work(other, value="the new one's")
    new = summary(other)
    work(frozen, range(120, 140), value="the old one's")
    with pytest.raises(FileNotFoundError):
        frozen.finish()
    assert len(rows(new["where"])) == NUMBER


def test_who_clears_has_all_done_again_but_for_what_is_to_go_on(place):
    pointer = Pointer()
    part = begun(pointer=pointer)
    work(part, range(100, 120))
    assert not begun(2, max_tries=6, pointer=Pointer()).is_done(100)
    part = begun(2, max_tries=6, pointer=pointer)
    assert [item for item in ALL if part.is_done(item)] == list(range(100, 114))
    assert pointer.name == "3.6"
    work(part)
    summary(part)
    assert {path.parent.name for path in place.rglob("*.jsonl")} == {"3.6"}


def test_what_a_run_of_the_same_id_has_left_does_not_count():
    part = begun()
    work(part, value="of the deleted run")
    part.finish()
    part = begun()
    assert not part.is_done(100)
    work(part, value="of this run")
    assert {row["value"] for row in rows(summary(part)["where"])} == {"of this run"}
    # Somebody clears it: nor does what that one had left of its later tries.
    part = begun(2, max_tries=6)
    work(part, value="of the deleted run")
    assert not begun(2, max_tries=6).is_done(100)


@pytest.mark.parametrize("retries", [0, 1, 9])
def test_retries_that_somebody_changes_while_it_is_at_work_change_nothing_of_what_is_done(retries):
    pointer = Pointer()
    work(begun(pointer=pointer), range(100, 121))
    part = begun(2, pointer=pointer, retries=retries)
    assert [item for item in ALL if not part.is_done(item)] == list(range(121, 140))
    # What a run of the same id left, which somebody has deleted, does not count all the same.
    part = begun(2, pointer=Pointer(), retries=retries)
    assert not part.is_done(100)


def test_a_plan_that_was_made_again_has_all_done_again():
    part = begun()
    work(part, range(100, 120))
    again = begun(2)
    assert again.is_done(100)
    again = Part(again.place, again._instance, again.span, as_list=False, most_bytes=1)
    again.take_over(lambda: ((item, f"n={item + 1}") for item in ALL))
    assert not again.is_done(100)
    work(again)
    assert len(rows(again.finish()["mapping_kit_part"]["where"])) == NUMBER
