"""s3_keys and S3MoveKeysOperator in a DAG that Airflow runs: arguments are templates, keys never are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import airflows


def test_a_mapped_move_renders_its_prefixes_and_no_key(bucket, tmp_path):
    names = ["a.csv", "{{ ds }}.csv", "{% raw %}", "b.csv", "{{ undefined.name }}"]
    for name in names:
        bucket.put(f"landing/2024-11-20/{name}")
    bucket.put("landing/2024-11-21/a.csv")
    bucket.put("alone/2024-11-20/one {{ ds }}.csv")
    bucket.put("alone/2024-11-20/two.csv")

    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("listing_dag.py"))],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "LAKE": bucket.name,
            "PYTHONPATH": str(Path(airflows.__file__).parent),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert bucket.contents() == {
        "landing/2024-11-21/a.csv": b"landing/2024-11-21/a.csv",
        **{f"processed/{name}": f"landing/2024-11-20/{name}".encode() for name in names},
        "processed/one {{ ds }}.csv": b"alone/2024-11-20/one {{ ds }}.csv",
        "processed/two.csv": b"alone/2024-11-20/two.csv",
    }
