"""An instance that is killed while it publishes is retried, and the partition is right."""

from __future__ import annotations

import os
import signal

import duckdb


def rows_of(target):
    glob = f"{target}/**/*.parquet"
    return duckdb.execute(
        "SELECT count(*), count(DISTINCT hash) FROM read_parquet($glob)", {"glob": glob}
    ).fetchone()


def test_a_writer_killed_in_the_middle_leaves_the_old_data_and_its_retry_the_new(stack, tmp_path):
    airflow, target = stack.airflow, tmp_path / "lake"
    stack.run("slow_publish", conf={"rows": 10, "target": str(target)})
    assert rows_of(target) == (10, 10)

    run_id = airflow.trigger("slow_publish", conf={"rows": 8_000_000, "target": str(target)})

    def half_written():
        return next((p for p in target.rglob(".mapping-kit-*.tmp") if p.stat().st_size > 1_000_000), None)

    temporary = stack.processes.wait(
        "The first million bytes of the new file", half_written, seconds=120, every=0.01
    )
    (instance,) = airflow.instances("slow_publish", run_id, "load")
    os.kill(instance["pid"], signal.SIGKILL)
    assert temporary.exists()
    assert rows_of(target) == (10, 10)

    assert airflow.wait("slow_publish", run_id, seconds=240) == "success"
    (instance,) = airflow.instances("slow_publish", run_id, "load")
    assert (instance["state"], instance["try_number"]) == ("success", 2)
    assert rows_of(target) == (8_000_000, 8_000_000)
    assert [str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()] == [
        "name=slow/data_0.parquet"
    ]
