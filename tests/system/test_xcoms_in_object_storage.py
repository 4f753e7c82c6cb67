"""A scheduler whose XComs go through Airflow's own backend for object storage: a large plan, its results, a retry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from stack.airflow import Airflow
from stack.postgres import Postgres
from stack.processes import Processes
from stack.s3 import S3

pytestmark = pytest.mark.system
DAG = """
from __future__ import annotations
from pathlib import Path
import pendulum
from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect, rows
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.operators.batched import batched

@generator
def keys():
    yield from (f"landing/orders/{number:09}.json.gz" for number in range(12_000))

@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1), params={"healed": ""})
def stored():
    @batched
    def ship(key, params=None):
        number = int(key[15:24])
        if number % 1000 == 7 and not Path(params["healed"]).exists():
            raise ValueError("the answer was 503")
        return {"number": number, "text": "x" * 100}

    @task(trigger_rule="all_done")
    def added_up(report):
        found = [(row["key"], row["value"]) for row in rows(report)]
        return {
            "rows": len(found),
            "keys": len(dict(found)),
            "sum": sum(value["number"] for _, value in found if value is not None),
        }

    added_up(collect(ship.expand(key=keys.override(batch_size=4000)())))

stored()
"""
BACKEND = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
FAILED = [1000 * thousand + 7 for thousand in range(12)]


def test_a_plan_and_its_results_are_beside_the_xcoms_and_a_retry_does_the_rest(tmp_path):
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "stored.py").write_text(DAG)
    with Processes() as processes:
        s3 = S3(processes, tmp_path / "s3.log")
        s3.make_bucket("lake")
        airflow = Airflow(
            processes,
            Postgres(processes, tmp_path / "postgres.log"),
            home=tmp_path / "airflow",
            dags_folder=dags,
            connections={"aws": s3.airflow_connection},
            settings={
                "CORE__XCOM_BACKEND": BACKEND,
                "COMMON_IO__XCOM_OBJECTSTORAGE_PATH": "s3://aws@lake/xcoms",
                "COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
            },
        )
        airflow.migrate()
        airflow.start_scheduler()
        airflow.wait_for_dag("stored")

        def answer(task_id):
            # Where the backend has put what the task returned: in the database is the address.
            address = airflow.xcom("stored", run_id, task_id)
            return json.loads(s3.objects("lake")[address.removeprefix("s3://aws@lake/")])

        run_id = airflow.trigger("stored", conf={"healed": str(tmp_path / "healed")})
        airflow.wait("stored", run_id)
        report = answer("collect_ship")
        assert (report["total"], report["succeeded"], report["failed"]) == (12_000, 11_988, 12)
        every = sum(range(12_000))
        assert answer("added_up") == {"rows": 12_000, "keys": 12_000, "sum": every - sum(FAILED)}
        labels = [one["rendered_map_index"] for one in airflow.instances("stored", run_id, "ship")]
        assert [label.partition(":")[0] for label in labels] == [
            "items 1–4,000 of 12,000",
            "items 4,001–8,000 of 12,000",
            "items 8,001–12,000 of 12,000",
        ]
        files = [unquote(key) for key in s3.objects("lake") if key.startswith("xcoms/mapping_kit/")]
        assert {key.split("/")[4] for key in files} == {"keys", "ship", "collect_ship"}

        Path(tmp_path, "healed").touch()
        subprocess.run(
            [Path(sys.executable).with_name("mapping-kit"), "retry", "stored", run_id, "--yes"],
            env={**os.environ, **airflow.environment},
            cwd=airflow.parts,
            check=True,
            timeout=60,
        )
        assert airflow.wait("stored", run_id) == "success"
        assert answer("added_up") == {"rows": 12_000, "keys": 12_000, "sum": every}
