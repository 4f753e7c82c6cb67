"""A small run of the benchmarks, so that they do not rot: how long anything takes is not looked at."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.system

PARTS = [
    "ways",
    "scale",
    "items",
    "instances",
    "generation",
    "partitions",
    "missing",
    "parsing",
    "collect",
    "early_labels",
    "redrive",
    "page",
    "lint",
    "tables",
]


def test_every_part_measures_and_writes_its_tables_into_the_page(tmp_path):
    page, plot = tmp_path / "page.md", tmp_path / "plot.svg"
    page.write_text((PROJECT / "docs" / "benchmarks.md").read_text())
    peers = PROJECT / ".venv-bench" / "bin" / "python"
    done = subprocess.run(
        [
            sys.executable,
            PROJECT / "benchmarks",
            "--small",
            "--page",
            page,
            "--plot",
            plot,
            "--peers",
            peers,
            *PARTS,
        ],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    measured = dict(
        re.findall(r"<!-- measured: ([\w ]+) -->\n(.*?)\n<!-- until here -->", page.read_text(), re.DOTALL)
    )
    assert set(PARTS) | {"machine"} <= set(measured)
    assert "4 items that do nothing" in measured["ways"]
    assert "4 items that wait 0.01 s" in measured["ways"]
    for way in (
        "a run an item, and a poll",
        "`TriggerDagRunPerItemOperator`",
        "plain mapping",
        "one task, 16 threads",
        "`@task.batched`, batches of 2",
    ):
        (row,) = re.findall(rf"\| {re.escape(way)} \| (.*) \|", measured["ways"].split("\n\n")[0])
        assert all(float(cell.replace(",", "")) >= 0 for cell in row.split(" | "))
    assert "| the days of ten years | 3,652 |" in measured["generation"]
    assert "| `@task.batched`, `async def`, `concurrency=16`, both |" in measured["items"]
    assert "| `@task.batched`, ten items, and `collect` |" in measured["instances"]
    assert "| `collect` |" in measured["collect"]
    assert "| `mapping-kit retry --repacked` | 2 |" in measured["redrive"]
    assert "| 1,095 × 25 runs |" in measured["page"]
    assert "findings in 20 files" in measured["lint"]
    (ours,) = re.findall(r"\| staged, then one commit \| (.*) \|", measured["tables"])
    # All is done and nothing was refused; it made one snapshot, and no reader saw half of it.
    done, *_, refused, snapshots, _, looks, mixtures = ours.split(" | ")
    assert (done, refused, snapshots, mixtures) == ("9", "0", "1", "0")
    assert int(looks) > 0
    assert "| a commit for each | 9 |" in measured["tables"]
    assert "<svg" in plot.read_text()
