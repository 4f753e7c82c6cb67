"""What many instances staged for an Iceberg table becomes one snapshot, and nothing else changes."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Transaction
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.iceberg.publish import publish
from iceberg_tables import run_id, stage, staged_files
from row_groups import row_groups
from staging import SEVERAL, SEVERAL_GROUPS

SCHEMA = Schema(NestedField(1, "k", StringType()), NestedField(2, "n", LongType()))
BY_K = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "k"))
SQL = "SELECT $n::BIGINT AS n"


@pytest.fixture
def name(lake):
    """Return a table with the partitions a and b."""
    name = lake.create(SCHEMA, BY_K)
    load(lake, name, "ab", 0, "the first")
    return name


def stage_each(table, keys, n, run=1):
    return stage(table, SQL, [{"k": k} for k in keys], run, parameters={"n": n}, unused=["k"])


def load(lake, name, keys, n, run=1, **look):
    table = lake.look(name, **look)
    return publish(table, stage_each(table, keys, n, run), run_id(run))


def append(lake, name, k, n, **settings):
    lake.table(name).append(
        pa.table({"k": pa.array([k], pa.string()), "n": pa.array([n], pa.int64())}), **settings
    )


@pytest.fixture
def before_commit(monkeypatch):
    """Return a list of what is done between planning and the next commits, one each."""
    waiting, commit = [], Transaction.commit_transaction

    def held(self):
        if waiting:
            waiting.pop(0)()
        return commit(self)

    monkeypatch.setattr(Transaction, "commit_transaction", held)
    return waiting


def test_exactly_the_partitions_that_passed_are_replaced_in_one_snapshot(lake, name):
    before = len(lake.table(name).snapshots())

    published = load(lake, name, ["b", "c", None, "NULL", "x/y %"], 1)

    assert lake.rows(name, "k", "n") == [("NULL", 1), ("a", 0), ("b", 1), ("c", 1), ("x/y %", 1), (None, 1)]
    table = lake.table(name)
    assert len(table.snapshots()) == before + 1
    assert published == {
        "snapshot": table.current_snapshot().snapshot_id,
        "rows": 5,
        "replaced_files": 1,
        "left_over": 0,
    }


def test_null_and_the_text_null_are_two_partitions(lake, name):
    load(lake, name, [None, "NULL"], 1)
    load(lake, name, [None], 2, run=2)

    assert lake.rows(name, "k", "n")[:1] + lake.rows(name, "k", "n")[-1:] == [("NULL", 1), (None, 2)]


def test_publishing_again_changes_nothing(lake, name):
    table = lake.look(name)
    pieces = stage_each(table, "ab", 1)
    first = publish(table, pieces, run_id())
    append(lake, name, "a", 9)

    assert publish(table, pieces, run_id()) == first
    assert lake.rows(name, "k", "n") == [("a", 1), ("a", 9), ("b", 1)]


def test_a_partition_without_rows_is_emptied(lake, name):
    table = lake.look(name)
    pieces = stage(table, f"{SQL} WHERE $k = 'b'", [{"k": "a"}, {"k": "b"}], parameters={"n": 1})

    publish(table, pieces, run_id())

    assert [piece["path"] is None for piece in pieces] == [True, False]
    assert lake.rows(name, "k", "n") == [("b", 1)]


def test_what_a_later_run_loaded_is_not_emptied_by_a_retry_of_the_earlier_one(lake, name):
    table = lake.look(name)
    first = stage(table, f"{SQL} WHERE $k = 'b'", [{"k": "a"}, {"k": "b"}], parameters={"n": 1})
    publish(table, first, run_id())
    load(lake, name, "a", 2, run=2)

    publish(table, first + stage_each(table, "c", 1), run_id())

    assert lake.rows(name, "k", "n") == [("a", 2), ("b", 1), ("c", 1)]


def test_a_partition_that_is_staged_again_without_rows_is_emptied_again(lake, name):
    table = lake.look(name)

    def emptied():
        return stage(table, f"{SQL} WHERE $k = 'b'", [{"k": "a"}], parameters={"n": 1})

    publish(table, emptied(), run_id())
    publish(table, stage_each(table, "a", 2), run_id())
    publish(table, emptied(), run_id())

    assert [row for row in lake.rows(name, "k", "n") if row[0] == "a"] == []


def test_an_empty_table_that_stays_empty_is_published_too(lake):
    name = lake.create(SCHEMA, BY_K)
    table = lake.look(name)

    published = publish(
        table, stage(table, f"{SQL} WHERE false", [{"k": "a"}], parameters={"n": 1}, unused=["k"]), run_id()
    )

    assert lake.rows(name) == []
    assert published["snapshot"] == lake.table(name).current_snapshot().snapshot_id


def test_what_is_published_is_left_alone_when_the_rest_follows(lake, name):
    table = lake.look(name)
    first = stage_each(table, "a", 1)
    publish(table, first, run_id())
    append(lake, name, "a", 9)
    append(lake, name, "b", 9)

    published = publish(table, first + stage_each(table, "b", 1), run_id())

    assert lake.rows(name, "k", "n") == [("a", 1), ("a", 9), ("b", 1)]
    assert published["rows"] == 1
    assert f"file://{first[0]['path']}" in lake.table(name).inspect.files()["file_path"].to_pylist()


def test_what_a_later_run_has_replaced_is_not_put_back_by_a_retry_of_the_earlier_one(lake, name):
    table = lake.look(name)
    first = stage_each(table, "a", 1)
    publish(table, first, run_id())
    load(lake, name, "a", 2, run=2)

    publish(table, first + stage_each(table, "b", 1), run_id())

    assert lake.rows(name, "k", "n") == [("a", 2), ("b", 1)]


def test_what_was_rolled_back_is_published_only_from_new_files(lake, name):
    table, before = lake.look(name), lake.table(name).current_snapshot().snapshot_id
    pieces = stage_each(table, "a", 1)
    publish(table, pieces, run_id())
    lake.table(name).manage_snapshots().set_current_snapshot(snapshot_id=before).commit()

    with pytest.raises(TargetError, match="partition k=a: .* rolled back .* Clear this instance"):
        publish(table, pieces, run_id())

    assert lake.rows(name, "k", "n") == [("a", 0), ("b", 0)]
    load(lake, name, "a", 1)
    assert lake.rows(name, "k", "n") == [("a", 1), ("b", 0)]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (lambda lake, name: append(lake, name, "z", 9), [("a", 1), ("b", 0), ("z", 9)]),
        (lambda lake, name: append(lake, name, "a", 9), [("a", 1), ("b", 0)]),
        (lambda lake, name: lake.table(name).delete("k = 'a'"), [("a", 1), ("b", 0)]),
        (lambda lake, name: lake.table(name).delete("k = 'b'"), [("a", 1)]),
        (lambda lake, name: load(lake, name, "ab", 5, run=2), [("a", 1), ("b", 5)]),
    ],
    ids=["append elsewhere", "append to it", "delete it", "delete elsewhere", "publish it"],
)
@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_what_others_commit_in_between_is_planned_for_anew(lake, before_commit, other, expected, isolation):
    name = lake.create(SCHEMA, BY_K, properties={"write.delete.isolation-level": isolation})
    load(lake, name, "ab", 0, "the first")
    before_commit.append(lambda: other(lake, name))

    published = load(lake, name, "a", 1)

    assert lake.rows(name, "k", "n") == expected
    assert published["snapshot"] == lake.table(name).current_snapshot().snapshot_id
    assert published["rows"] == 1


def test_a_commit_that_was_taken_and_then_refused_is_found_whole(lake, name, monkeypatch):
    # boto3 sends a request again whose answer was lost; the second one is refused, for the first was taken.
    from pyiceberg.catalog.rest import RestCatalog

    commit, tries = RestCatalog.commit_table, []

    def twice(self, *arguments):
        tries.append(commit(self, *arguments))
        if len(tries) == 1:
            raise CommitFailedException("Requirement failed: branch main has changed")
        return tries[-1]

    monkeypatch.setattr(RestCatalog, "commit_table", twice)

    load(lake, name, "a", 1)

    assert len(tries) == 1
    assert lake.rows(name, "k", "n") == [("a", 1), ("b", 0)]


def test_a_lost_answer_is_no_second_commit(lake, name, monkeypatch):
    from pyiceberg.catalog.rest import RestCatalog

    commit, tries = RestCatalog.commit_table, []

    def lost(self, *arguments):
        tries.append(commit(self, *arguments))
        raise CommitStateUnknownException("the connection was lost")

    monkeypatch.setattr(RestCatalog, "commit_table", lost)

    load(lake, name, "a", 1)

    assert len(tries) == 1
    assert lake.rows(name, "k", "n") == [("a", 1), ("b", 0)]


def test_metadata_of_refused_commits_are_removed(lake, name, before_commit):
    before_commit.append(lambda: append(lake, name, "z", 9))

    load(lake, name, "a", 1)

    table = lake.table(name)
    known = {manifest.manifest_path for one in table.snapshots() for manifest in one.manifests(table.io)}
    known |= {one.manifest_list for one in table.snapshots()}
    folder = Path(table.location().removeprefix("file://")) / "metadata"
    assert {f"file://{path}" for path in folder.glob("*.avro")} == known


def test_leftovers_of_a_run_are_removed_and_nothing_else(lake, name):
    table = lake.look(name)
    left = stage_each(table, "ab", 7)
    of_another_run = stage_each(table, "a", 8, run=2)
    pieces = stage_each(table, "ab", 1)

    published = publish(table, pieces, run_id())

    assert published["left_over"] == len(left) == 2
    assert staged_files(table) == sorted(piece["path"] for piece in pieces)
    assert Path(of_another_run[0]["path"]).exists()
    assert lake.rows(name, "k", "n") == [("a", 1), ("b", 1)]


def test_files_that_any_snapshot_knows_stay(lake, name):
    table = lake.look(name)
    first = stage_each(table, "a", 1)
    publish(table, first, run_id())
    before = lake.table(name).current_snapshot().snapshot_id

    assert publish(table, stage_each(table, "a", 2), run_id())["left_over"] == 0

    assert Path(first[0]["path"]).exists()
    assert lake.rows(name, "k", "n", snapshot_id=before) == [("a", 1), ("b", 0)]


def test_several_files_of_a_partition_are_published_and_replaced_together(lake, name):
    table = lake.look(name)
    for n, replaced in ((1, 2), (2, 6)):
        asked = ("SELECT $n::BIGINT AS n FROM range(5000)", [{"k": "a"}, {"k": "b"}], n)
        pieces = stage(table, *asked, parameters={"n": n}, unused=["k"], **SEVERAL)
        done = publish(table, pieces, run_id(n))

        assert (done["rows"], done["replaced_files"]) == (10_000, replaced)
        counts = lake.table(name).inspect.files()["record_count"].to_pylist()
        assert sorted(counts) == [904] * 2 + [2048] * 4
        assert row_groups(one["path"] for piece in pieces for one in piece["files"]) == SEVERAL_GROUPS
        assert Counter(lake.rows(name, "k", "n")) == {("a", n): 5000, ("b", n): 5000}
        assert publish(table, pieces, run_id(n)) == done

    (piece,) = stage(table, SQL, [{"k": "a"}], 3, parameters={"n": 3}, unused=["k"], **SEVERAL)
    piece["files"][0]["rows"] = 2
    with pytest.raises(TargetError, match=r"isn't what was staged, 2 rows of \['a'\]: it has 1 of"):
        publish(table, [piece], run_id(3))


def test_a_branch_is_published_to_and_main_stays(lake, name):
    lake.table(name).manage_snapshots().create_branch(
        lake.table(name).current_snapshot().snapshot_id, "audit"
    ).commit()

    load(lake, name, "a", 1, branch="audit")

    assert lake.rows(name, "k", "n") == [("a", 0), ("b", 0)]
    audit = lake.table(name).snapshot_by_name("audit").snapshot_id
    assert lake.rows(name, "k", "n", snapshot_id=audit) == [("a", 1), ("b", 0)]


def test_leftovers_that_cannot_be_removed_are_no_reason_to_fail(lake, name, monkeypatch, caplog):
    from pyiceberg.io.pyarrow import PyArrowFileIO

    def refused(self, location):
        raise PermissionError(f"AWS Error ACCESS_DENIED: {location}")

    table = lake.look(name)
    stage_each(table, "a", 7)
    pieces = stage_each(table, "a", 1)
    monkeypatch.setattr(PyArrowFileIO, "delete", refused)

    assert publish(table, pieces, run_id())["left_over"] == 0

    assert "left by an earlier try, can't be removed" in caplog.text
    assert lake.rows(name, "k", "n") == [("a", 1), ("b", 0)]


@pytest.mark.parametrize(
    "properties",
    [
        {"format-version": "1"},
        {"write.metadata.delete-after-commit.enabled": "true", "write.metadata.previous-versions-max": "1"},
        {"write.data.path": "file:///tmp/iceberg tables/ä=1/%s"},
    ],
    ids=["version 1", "metadata that go", "data elsewhere"],
)
def test_tables_may_have_settings_of_their_own(lake, properties, tmp_path):
    properties = {key: value.replace("/tmp", str(tmp_path)) for key, value in properties.items()}
    name = lake.create(SCHEMA, BY_K, properties=properties)
    for n in range(4):
        load(lake, name, "ab"[n % 2 :], n, run=n)

    assert lake.rows(name, "k", "n") == [("a", 2), ("b", 3)]
    folder = Path(lake.table(name).location().removeprefix("file://")) / "metadata"
    assert len(list(folder.glob("*.metadata.json"))) == (
        2 if "write.metadata.previous-versions-max" in properties else 5
    )


def test_files_in_many_lists_are_all_found(lake, monkeypatch):
    # Several threads of pyiceberg ask one object about these lists, and it remembers which it was asked of last.
    from pyiceberg.expressions.visitors import _ManifestEvalVisitor

    name = lake.create(SCHEMA, BY_K)
    keys = [f"k{number}" for number in range(8)]
    for key in keys:
        append(lake, name, key, 0)
    equal = _ManifestEvalVisitor.visit_equal

    def slowly(self, **arguments):
        time.sleep(0.001)
        return equal(self, **arguments)

    monkeypatch.setattr(_ManifestEvalVisitor, "visit_equal", slowly)
    monkeypatch.setattr("airflow_mapping_kit.tables.iceberg.publish._TRIES", 1)

    load(lake, name, keys[1::2], 1)

    assert lake.rows(name, "k", "n") == [(key, int(key in keys[1::2])) for key in keys]
