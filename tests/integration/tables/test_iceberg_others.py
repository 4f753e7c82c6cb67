"""Other writers of an Iceberg table: what they commit stays, and readers see all of a publish or nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
import requests
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

from airflow_mapping_kit.tables.iceberg.publish import publish
from iceberg_tables import run_id, stage, staged_files
from stack.catalog import CLIENT, PYTHON, SECRET

SCHEMA = Schema(NestedField(1, "k", StringType()), NestedField(2, "n", LongType()))
BY_K = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "k"))


def staged(table, keys, n, run):
    return stage(
        table, "SELECT $n::BIGINT AS n", [{"k": k} for k in keys], run, unused=["k"], parameters={"n": n}
    )


@pytest.fixture
def name(lake):
    return lake.create(SCHEMA, BY_K)


def test_rows_that_another_engine_has_deleted_stay_so(lake, name, iceberg_catalog):
    table = lake.look(name)
    pieces = stage(table, "SELECT unnest(range(5)) AS n", [{"k": "a"}, {"k": "b"}], 0, unused=["k"])
    publish(table, pieces, run_id(0))
    form = {"client_id": CLIENT, "client_secret": SECRET, "grant_type": "client_credentials"}
    token = requests.post(f"{iceberg_catalog.uri}/v1/oauth/tokens", data=form, timeout=60).json()[
        "access_token"
    ]
    program = Path(__file__).with_name("delete_rows.py")
    subprocess.run(
        [PYTHON, "-I", program, iceberg_catalog.uri, token, name, "n = 3"], check=True, timeout=100
    )
    assert len(lake.table(name).inspect.delete_files()) == 2

    publish(table, staged(table, "a", 3, 1), run_id(1))

    assert lake.rows(name, "k", "n") == [("a", 3), ("b", 0), ("b", 1), ("b", 2), ("b", 4)]


def in_a_process(task):
    """Run a function in a process of its own, and return what waits for its end."""
    child = os.fork()
    if not child:
        try:
            task()
            os._exit(0)
        except BaseException:  # noqa: BLE001 -- whatever it is, nothing of pytest runs in a child
            traceback.print_exc(file=sys.__stderr__)
            os._exit(1)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_publishes_of_the_same_and_of_other_partitions_and_appends_at_once_lose_nothing(
    lake, name, iceberg_catalog
):
    table, times = lake.look(name), 6
    publish(table, staged(table, "abcd", 0, 0), run_id(0))
    runs = [(keys, keys[0].upper(), number) for keys in ("ab", "bc") for number in range(1, times + 1)]
    pieces = {
        run: staged(table, run[0], run[2] + 100 * (run[0] == "bc"), f"{run[1]}{run[2]}") for run in runs
    }

    def publishes(keys):
        for run in runs:
            if run[0] == keys:
                publish(table, pieces[run], run_id(f"{run[1]}{run[2]}"))

    def appends():
        catalog = iceberg_catalog.client()
        for n in range(times):
            rows = pa.table({"k": pa.array(["z"], pa.string()), "n": pa.array([n], pa.int64())})
            while True:
                try:
                    catalog.load_table(name).append(rows)
                except CommitFailedException:
                    continue
                break

    ends = [
        in_a_process(lambda: publishes("ab")),
        in_a_process(lambda: publishes("bc")),
        in_a_process(appends),
    ]
    assert [end() for end in ends] == [0, 0, 0]

    found = lake.rows(name, "k", "n")
    assert [row for row in found if row[0] == "z"] == [("z", n) for n in range(times)]
    (last,) = {row[1] for row in found if row[0] == "b"}
    assert last in (times, 100 + times)
    assert [row for row in found if row[0] in "acd"] == [("a", times), ("c", 100 + times), ("d", 0)]
    # Of each snapshot: `b` is of one publish, and that one's other partition is of no earlier one.
    snapshots = lake.table(name).snapshots()
    assert len(snapshots) == 1 + 2 * times + times
    for snapshot in snapshots:
        rows = [
            tuple(row.values())
            for row in lake.table(name).scan(snapshot_id=snapshot.snapshot_id).to_arrow().to_pylist()
        ]
        assert Counter(k for k, _ in rows if k != "z") == Counter("abcd")
        values = dict(rows)
        assert values["b"] in {0, values["a"], values["c"]}


def test_of_two_that_publish_the_same_run_at_once_one_does(lake, name):
    table = lake.look(name)
    staged(table, "abcdef", 7, 1)
    pieces = staged(table, "abc", 1, 1)

    ends = [in_a_process(lambda: publish(table, pieces, run_id(1))) for _ in range(3)]

    assert [end() for end in ends] == [0, 0, 0]
    assert lake.rows(name, "k", "n") == [("a", 1), ("b", 1), ("c", 1)]
    assert len(lake.table(name).snapshots()) == 1
    assert staged_files(table) == sorted(piece["path"] for piece in pieces)
