"""What the kit imports where a scheduler starts: the tasks that LocalExecutor forks from it have that already.

So has what reads DAG files. Elsewhere a task imports what it needs when it needs it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

from airflow.listeners import hookimpl

from airflow_mapping_kit.exceptions import MissingNameError
from airflow_mapping_kit.guarded import guarded

# Airflow 2 tells of a job before that knows of which kind it is.
_COMMANDS = {"scheduler", "dag-processor"}
# What DAG files name, and what mapped instances import when they run; nothing of what the kit is used with.
_MODULES = (
    "generators",
    "fan_in.accounting",
    "operators.batched.work",
    "operators.batched.threads",
    "checkpoints.files",
    "checkpoints.parts",
    "checkpoints.store",
    "plans.forgotten",
    "plans.held",
    "storage.local_files",
)


@hookimpl
@guarded
def on_starting(component: Any) -> None:  # noqa: ARG001 -- the hook's
    """Import what is forked with this process, if it is a scheduler or reads DAG files."""
    if _COMMANDS & set(sys.argv[1:2]):
        package = __name__.partition(".")[0]
        for name in _MODULES:
            # A DAG that uses a part that is switched off says so by itself.
            with suppress(MissingNameError):
                import_module(f"{package}.{name}")
