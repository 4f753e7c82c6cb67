"""The command itself."""

from __future__ import annotations

import subprocess
import sys


def test_what_asks_the_api_alone_needs_no_airflow():
    program = (
        "import sys, airflow_mapping_kit.cli.program, airflow_mapping_kit.cli.remote_partitions\n"
        "print([name for name in ('airflow', 'sqlalchemy', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
