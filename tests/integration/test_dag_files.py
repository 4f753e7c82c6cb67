"""The DAG files of the project load without a warning on the Airflow that is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"
FILES = sorted(path.name for path in DAGS.glob("*.py"))

# In a process of its own, where none of Airflow's modules has given its warning before.
LOAD = """
import json, sys, warnings
try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import task
except ImportError:  # Airflow 2
    from airflow.models.dagbag import DagBag
    from airflow.decorators import task
    # What Airflow says of its own settings when it is imported is not about a DAG file.
    import airflow.models.taskinstance
# Nor is what other packages say: when the provider of a decorator is looked for among them, and of themselves.
task.batched, task.sensor
found = {}
for path in sys.argv[1:]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bag = DagBag(path)
    found[path] = {"errors": list(bag.import_errors.values()), "dags": sorted(bag.dag_ids)}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Return what came of loading each file, by its name: the ids of its DAGs, and what went wrong."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *(str(DAGS / name) for name in FILES)],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
        check=True,
    )
    return {Path(path).name: outcome for path, outcome in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("name", FILES)
def test_a_dag_file_loads_without_a_warning(loaded, name):
    assert loaded[name]["errors"] == []
    assert loaded[name]["dags"]
