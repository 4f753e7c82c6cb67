"""Publish one partition; run in a process of its own, that a test can kill.

`ARGUMENTS` comes from `runpy.run_path`: the operator's arguments, and `environment`: variables to set first.
"""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace

from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator

given = dict(ARGUMENTS)  # noqa: F821  see above
os.environ.update(given.pop("environment"))
logging.disable(logging.WARNING)
DuckDBPartitionOperator(task_id="load", **given).execute({"ti": SimpleNamespace(dag_id="lake", run_id="run")})
