"""What all tests share: an Airflow home of their own, made before anything imports Airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Airflow reads its settings when it is first imported. A home of the user's must never be touched.
_HOME = tempfile.mkdtemp(prefix="mapping-kit-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
