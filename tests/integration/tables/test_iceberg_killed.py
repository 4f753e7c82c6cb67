"""A fan-in that is killed at any step leaves the old rows or the new ones, and the next one puts all in order."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

from airflow_mapping_kit.tables.iceberg.history import MARKER
from airflow_mapping_kit.tables.iceberg.publish import publish
from airflow_mapping_kit.tables.staged import marker
from iceberg_tables import run_id, stage, staged_files

SCHEMA = Schema(NestedField(1, "k", StringType()), NestedField(2, "n", LongType()))
BY_K = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "k"))
# All steps, so often: `KIT_KILLS=5 pytest tests/integration/tables/test_iceberg_killed.py`; by default a part of them.
ROUNDS = int(os.environ.get("KIT_KILLS", "0"))


class Steps:
    """What a commit does outside of its own memory: the process doesn't survive one of them.

    :param last: which.
    """

    def __init__(self, last):
        self.last, self.taken, self.others_turn = last, 0, False

    def take(self):
        if not self.others_turn:
            self.taken += 1
            if self.taken == self.last:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner, name, other=None):
        """Have each call of a method be a step, and its end another one.

        :param other: what another writer does before the first
        """
        call, others = getattr(owner, name), [other] if other else []

        def stepwise(this, *arguments):
            if others and not self.others_turn:
                self.others_turn = True
                others.pop()()
                self.others_turn = False
            self.take()
            answer = call(this, *arguments)
            self.take()
            return answer

        setattr(owner, name, stepwise)

    def within_files(self):
        """Have each file that is made be a step, half of its bytes another one, and its end."""
        create, steps = PyArrowFile.create, self

        class Halved:
            def __init__(self, file):
                self.file, self.is_whole = file, True

            def write(self, data):
                if self.is_whole:
                    self.is_whole = False
                    self.file.write(data[: len(data) // 2])
                    self.file.flush()
                    steps.take()
                    data = data[len(data) // 2 :]
                return self.file.write(data)

            def close(self):
                if not self.file.closed:
                    self.file.close()
                    steps.take()

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.close()

            def __getattr__(self, name):
                return getattr(self.file, name)

        def stepwise(this, overwrite=False):
            steps.take()
            return Halved(create(this, overwrite))

        PyArrowFile.create = stepwise


def killed(step, other, *arguments):
    """Publish in a process that is killed at a step, and return whether it came so far."""
    child = os.fork()
    if not child:
        try:
            steps = Steps(step)
            steps.within_files()
            steps.around(RestCatalog, "commit_table", other)
            steps.around(PyArrowFileIO, "delete")
            publish(*arguments)
            os._exit(0)
        except BaseException:  # noqa: BLE001 -- whatever it is, nothing of pytest runs in a child
            traceback.print_exc(file=sys.__stderr__)
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.fixture
def name(lake):
    return lake.create(SCHEMA, BY_K)


@pytest.mark.parametrize(
    ("other", "least", "every"),
    [(None, 16, 3), ("z", 36, 5), ("b", 36, 5)],
    ids=["alone", "beside a writer elsewhere", "beside a writer to the same partition"],
)
def test_killed_at_any_step_it_leaves_the_old_or_the_new_and_the_next_one_puts_all_in_order(
    lake, name, iceberg_catalog, other, least, every
):
    table = lake.look(name)

    def staged(keys, n, run):
        return stage(
            table, "SELECT $n::BIGINT AS n", [{"k": k} for k in keys], run, unused=["k"], parameters={"n": n}
        )

    def append():
        # A client of its own: a process that was forked has the connection of the first one.
        rows = pa.table({"k": pa.array([other], pa.string()), "n": pa.array([-1], pa.int64())})
        iceberg_catalog.client().load_table(name).append(rows)

    for round_number in range(ROUNDS or 1):
        publish(table, staged("abc", 0, f"the first {round_number}"), run_id(f"the first {round_number}"))
        seen, expected = [], dict.fromkeys("abc", 0)
        for n in count(1, 1 if ROUNDS else every):
            # Those of the last snapshot's, and others: one of its lists of files goes, one is written anew.
            keys, run = ("ab" if n % 2 else "bc"), f"{round_number}, {n}"
            left, pieces = staged(keys[:1], n, run), staged(keys, n, run)
            others = [row for row in lake.rows(name, "k", "n") if row[1] == -1]
            new = expected | dict.fromkeys(keys, n)
            if not killed(n, append if other else None, table, pieces, run_id(run)):
                break
            found = lake.rows(name, "k", "n")
            mine = [row for row in found if row[1] != -1]
            assert mine in (sorted(expected.items()), sorted(new.items()))
            seen.append(mine == sorted(new.items()))
            appended = [row for row in found if row[1] == -1]
            if other == "z":
                assert len(appended) - len(others) in (0, 1)

            publish(table, pieces, run_id(run))

            assert lake.rows(name, "k", "n") == sorted([*new.items(), *(appended if other == "z" else [])])
            expected = new
            told = [one.summary.additional_properties.get(MARKER) for one in lake.table(name).snapshots()]
            assert told.count(marker(run_id(run), pieces)) == 1
            assert staged_files(table, run) == sorted(piece["path"] for piece in pieces)
            assert not Path(left[0]["path"]).exists()
        assert n > least
        assert seen == sorted(seen)
        assert seen.count(True) * every >= 3
    # All that any snapshot names is there.
    for snapshot in lake.table(name).snapshots():
        assert lake.table(name).scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows >= 3
