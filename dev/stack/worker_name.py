"""What Airflow takes for the host's name in a worker: all of them run on one machine. Runs in Airflow's environment."""

from __future__ import annotations

import os

VARIABLE = "MAPPING_KIT_STACK_WORKER"


def worker_name() -> str:
    """Return the worker's name."""
    return os.environ[VARIABLE]
