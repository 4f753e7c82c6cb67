"""Publish one partition; run in a process of its own, that a test can kill.

`ARGUMENTS` comes from `runpy.run_path`: the operator's arguments, and `environment`: variables to set first.
"""

from __future__ import annotations

import logging
import os

from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from instances import INSTANCE

given = dict(ARGUMENTS)  # noqa: F821  see above
os.environ.update(given.pop("environment"))
logging.disable(logging.WARNING)
DuckDBPartitionOperator(task_id="load", **given).execute({"ti": INSTANCE})
