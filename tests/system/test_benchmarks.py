"""A small run of each benchmark, so that they do not rot: how long anything takes is not looked at."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PEERS = PROJECT / ".venv-bench" / "bin" / "python"
pytestmark = pytest.mark.system

# What the tables of a small run say of what was measured. The longest come first: others run beside them.
PARTS = {
    "ways": ["4 items that do nothing", "4 items that wait 0.01 s"],
    "scale": [],
    "instances": ["| `@task.batched`, ten items, and `collect` |"],
    "tables": ["| a commit for each | 9 |"],
    "redrive": ["| `mapping-kit retry --repacked` | 2 |"],
    "early_labels": [],
    "page": ["| 1,095 × 25 runs |"],
    "items": ["| `@task.batched`, `async def`, `concurrency=16`, both |"],
    "collect": ["| `collect` |"],
    "generation": ["| the days of ten years | 3,652 |"],
    "partitions": [],
    "missing": ["20,000 partitions, 1 % of them missing", "| `lake_partitions`, 400 on disk |"],
    "parsing": [],
    "lint": ["findings in 20 files"],
}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_measures_and_writes_its_tables_into_the_page(tmp_path, part):
    page, plot = tmp_path / "page.md", tmp_path / "plot.svg"
    before = (PROJECT / "docs" / "benchmarks.md").read_text()
    page.write_text(before)
    options = ["--small", "--page", page, "--plot", plot, "--peers", PEERS]
    done = subprocess.run(
        [sys.executable, PROJECT / "benchmarks", *options, part], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr

    measured = _measured(page.read_text())
    assert {name for name, table in _measured(before).items() if table != measured[name]} - {"machine"} == {
        part
    }
    for text in PARTS[part]:
        assert text in measured[part]
    if part == "ways":
        for way in (
            "a run an item, and a poll",
            "`TriggerDagRunPerItemOperator`",
            "plain mapping",
            "one task, 16 threads",
            "`@task.batched`, batches of 2",
        ):
            (row,) = re.findall(rf"\| {re.escape(way)} \| (.*) \|", measured["ways"].split("\n\n")[0])
            assert all(float(cell.replace(",", "")) >= 0 for cell in row.split(" | "))
        assert "<svg" in plot.read_text()
    if part == "tables":
        (ours,) = re.findall(r"\| staged, then one commit \| (.*) \|", measured["tables"])
        # All is done and nothing was refused; it made one snapshot, and no reader saw half of it.
        done, *_, refused, snapshots, _, looks, mixtures = ours.split(" | ")
        assert (done, refused, snapshots, mixtures) == ("9", "0", "1", "0")
        assert int(looks) > 0


def _measured(page: str) -> dict[str, str]:
    return dict(re.findall(r"<!-- measured: ([\w ]+) -->\n(.*?)\n<!-- until here -->", page, re.DOTALL))
