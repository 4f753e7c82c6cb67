from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import airflow_mapping_kit

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import airflow_mapping_kit.partitions
packages = {name.partition(".")[0] for name in sys.modules if not name.startswith("_")}
print(sorted(packages - sys.stdlib_module_names))
"""


def test_the_package_needs_the_standard_library_only():
    folder = Path(airflow_mapping_kit.__file__).parent.parent
    # -S: nothing of site-packages is imported at start-up.
    command = [sys.executable, "-S", "-c", PROGRAM, str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "['airflow_mapping_kit']"
