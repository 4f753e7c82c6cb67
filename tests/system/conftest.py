"""The project as a clone of it has it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# One waits for minutes to go by, the other measures: they begin first.
LONGEST = ["test_rate", "test_benchmarks"]


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    """Return a copy of the files that git has, or would take: what is ignored isn't there for anyone else."""
    target = tmp_path_factory.mktemp("clone") / "project"
    # The checkout may belong to another user than root.
    listing = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    yield target
    shutil.rmtree(target)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Run the browser's tests in one process, which share an Airflow, and those of each other file in any."""
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        group = "browser" if item.path.parent.name == "browser" else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.path.stem not in LONGEST)
