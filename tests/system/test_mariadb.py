"""The integration tests of what the kit asks and changes in the metadata database, on MariaDB in place of SQLite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.mariadb import MariaDB
from stack.processes import Processes

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
# One for each way in which the kit reads or writes there.
TESTS = [
    "checkpoint_store",
    "collect",
    "history",
    "large_plans",
    "page_actions",
    "policy",
    "redrive",
    "steering",
]


def test_what_is_kept_in_the_metadata_database_is_right_on_mariadb(tmp_path):
    files = [str(ROOT / "tests" / "integration" / f"test_{name}.py") for name in TESTS]
    options = ["-p", "no:cacheprovider", "--basetemp", str(tmp_path / "inner")]
    with Processes() as processes:
        database = MariaDB(processes, tmp_path / "mariadb.log")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *options, *files],
            env={**os.environ, "KIT_TEST_DATABASE": database.sqlalchemy_url},
            cwd=ROOT / "tests",
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-20_000:]
    assert " passed" in done.stdout
