"""The environment of the started processes: what they need, and nothing that was meant for something else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TMPDIR")


def base_environment(home: Path) -> dict[str, str]:
    """Return an environment without the AIRFLOW__, AWS_, PYTHON and proxy variables of the user's shell.

    :param home: the home folder that the processes see, so that no ``~/.aws`` or ``~/.duckdb`` reaches them.
    """
    programs = str(Path(sys.executable).parent)
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        # Airflow writes UTF-8 whatever the terminal speaks.
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        # Every server is on the loopback.
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
