"""The example DAGs that work on batches run as they are."""

from __future__ import annotations

import duckdb
import pytest

pytestmark = pytest.mark.versions


def test_every_endpoint_of_a_batch_is_on_its_own(stack):
    run_id = stack.tested("api_endpoints_batched")
    merged = stack.airflow.xcom("api_endpoints_batched", run_id, "merge")
    without = merged.pop("without")
    assert list(without) == ["endpoint=broken"]
    assert "500 Internal Server Error" in without["endpoint=broken"]
    assert merged == {
        "endpoints": {
            "endpoint=steady": {"rows": 3, "total": 60},
            "endpoint=slow": {"rows": 1, "total": 100},
            "endpoint=flaky": {"rows": 2, "total": 3},
            "endpoint=limited": {"rows": 1, "total": 7},
        },
        "total": 170,
    }
    downloads = stack.airflow.instances("api_endpoints_batched", run_id, "download")
    assert [i["rendered_map_index"] for i in downloads] == [
        "items 1–3 of 5: steady … flaky",
        "items 4–5 of 5: limited … broken",
    ]
    assert [i["state"] for i in downloads] == ["success", "failed"]


def test_a_year_is_loaded_in_batches_and_every_partition_accounted_for(stack, tmp_path):
    run_id = stack.tested("flights_year", target=str(tmp_path / "lake"))

    report = stack.airflow.xcom("flights_year", run_id, "collect_load")
    assert (report["total"], report["succeeded"]) == (1095, 1095)
    assert [row["key"] for row in report["results"][:2]] == [
        "date=2013-01-01/origin=EWR",
        "date=2013-01-02/origin=EWR",
    ]
    instances = stack.airflow.instances("flights_year", run_id, "load")
    assert len(instances) == 22
    assert instances[0]["rendered_map_index"] == "items 1–50 of 1,095: EWR 2013-01-01 … EWR 2013-02-19"
    source = str(stack.project / "include" / "data" / "flights-2013.parquet")
    counts = "SELECT origin, date::DATE, count(*), sum(distance) FROM {} GROUP BY ALL ORDER BY ALL"
    found = duckdb.execute(
        counts.format("read_parquet($path, hive_partitioning = true)"),
        {"path": f"{tmp_path}/lake/**/*.parquet"},
    ).fetchall()
    assert found == duckdb.execute(counts.format("read_parquet($path)"), {"path": source}).fetchall()
    assert len(found) == 1095
