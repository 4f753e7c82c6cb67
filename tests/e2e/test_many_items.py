"""100,000 items in one run on a real scheduler, in XComs and in storage: none is lost, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from urllib.parse import unquote

import pytest

from stack.airflow import AIRFLOW_3
from stack.usage import cpu_seconds, peaks

ITEMS = 100_000
BATCH = 10_000
XCOMS, STORAGE = "many_items", "many_items_in_storage"
# Both on 2.10.5; on the others, where an instance is cheap and storage is the same code, one.
BOTH = [pytest.param(XCOMS, marks=pytest.mark.versions), STORAGE]


def started(stack, dag_id, folder, **conf):
    stack.airflow.wait_for_dag(dag_id)
    stack.airflow.unpause(dag_id)
    return stack.airflow.trigger(dag_id, conf={"folder": str(folder), "batch_size": BATCH, **conf})


def killed(stack, folder, what):
    """Kill the process that waits for it."""
    pid = Path(folder, f"{what}.pid")
    stack.processes.wait(f"{what} is there", lambda: pid.exists() and pid.read_text(), seconds=90)
    os.kill(int(pid.read_text()), signal.SIGKILL)


def saved(stack, dag_id, run_id):
    """Tell whether anything is kept of the second batch before it has ended."""
    if dag_id == STORAGE:
        keys = map(unquote, stack.s3.objects(stack.bucket))
        return any(f"mapping_kit/{dag_id}/{run_id}/ship/1." in key for key in keys)
    table, key = ("task_state_store", "mapping_kit/0") if AIRFLOW_3 else ("xcom", "mapping_kit/ship/1/%")
    return stack.postgres.query(f"SELECT 1 FROM {table} WHERE run_id = %s AND key LIKE %s", [run_id, key])


def sizes(stack, run_id):
    """Return how many bytes the XComs of a run take."""
    (row,) = stack.postgres.query(
        "SELECT sum(pg_column_size(value)) AS bytes FROM xcom WHERE run_id = %s", [run_id]
    )
    return int(row["bytes"])


def all_of(items):
    """Return what is added up of all rows, once each."""
    return {"rows": items, "keys": items, "sum": items * (items - 1) // 2}


@pytest.mark.parametrize("dag_id", BOTH)
def test_every_item_is_in_one_row_and_no_process_grows_with_their_number(stack, tmp_path, dag_id):
    few = started(stack, dag_id, tmp_path, items=20, batch_size=10)
    with peaks() as least:
        assert stack.airflow.wait(dag_id, few) == "success"
    used = cpu_seconds()
    run_id = started(stack, dag_id, tmp_path, items=ITEMS)
    with peaks() as most:
        assert stack.airflow.wait(dag_id, run_id, seconds=300) == "success"
    used = cpu_seconds() - used

    report = stack.airflow.xcom(dag_id, run_id, "collect_ship")
    assert (report["total"], report["succeeded"], report["failed"]) == (ITEMS, ITEMS, 0)
    assert stack.airflow.xcom(dag_id, run_id, "added_up") == all_of(ITEMS)
    assert stack.airflow.xcom(dag_id, run_id, "collect_times")["succeeded"] == ITEMS
    labels = [one["rendered_map_index"] for one in stack.airflow.instances(dag_id, run_id, "ship")]
    assert labels[1].startswith(
        "items 10,001–20,000 of 100,000: key=landing%2F2026-11-26%2Forders%2F000010000"
    )
    # Ceilings that what grows with the number of items goes through; how fast it is `benchmarks` say.
    assert used < 60
    for kind in ("a task", "the scheduler"):
        assert most.get(kind, 0) - least.get(kind, 0) < 50
    if dag_id == STORAGE:
        assert sizes(stack, run_id) < 100_000


@pytest.fixture
def killed_at(stack):
    """Return a function that has the process of a task killed when it writes a file in storage."""
    done = []

    def arrange(dag_id, run_id, task_id, name):
        def before(request):
            path = unquote(request.path).partition("?")[0]
            if done or request.kind != "PUT" or not path.endswith(f"{run_id}/{task_id}/{name}"):
                return None
            (one,) = stack.airflow.instances(dag_id, run_id, task_id)
            os.kill(one["pid"], signal.SIGKILL)
            done.append(path)
            return "reset"

        stack.proxy.before = before
        return done

    yield arrange
    stack.proxy.reset()


def killed_twice(stack, tmp_path, dag_id, items):
    """Start a run of three batches whose generator and second instance are killed; return its id."""
    for what in ("keys", "ship"):
        Path(tmp_path, f"kill_{what}").touch()
    run_id = started(stack, dag_id, tmp_path, items=items, batch_size=items // 3)
    killed(stack, tmp_path, "keys")
    stack.processes.wait("What is done is saved", lambda: saved(stack, dag_id, run_id), seconds=90)
    killed(stack, tmp_path, "ship")
    return run_id


def ended_well(stack, dag_id, run_id, items):
    """Check that what was killed was tried once more, and that every item is in one row."""
    assert stack.airflow.wait(dag_id, run_id, seconds=240) == "success"
    (generator,) = stack.airflow.instances(dag_id, run_id, "keys")
    assert generator["try_number"] == 2
    tries = [one["try_number"] for one in stack.airflow.instances(dag_id, run_id, "ship")]
    assert tries == [1, 2, 1]
    # What was done when it was killed was not done again.
    log = stack.airflow.log(dag_id, run_id, "ship", 1, try_number=2)
    assert "items, 0 of them already done" not in log
    assert stack.airflow.xcom(dag_id, run_id, "added_up") == all_of(items)


@pytest.mark.versions
def test_killing_the_generator_and_an_instance_loses_and_doubles_nothing(stack, tmp_path):
    ended_well(stack, XCOMS, killed_twice(stack, tmp_path, XCOMS, 3000), 3000)


def test_killing_the_fan_in_too_does_neither_in_storage_and_a_plan_that_moved_or_was_cut_off_is_told(
    stack, tmp_path, killed_at
):
    # Of fewer the rows are in the report itself.
    run_id = killed_twice(stack, tmp_path, STORAGE, 9000)
    done = killed_at(STORAGE, run_id, "collect_ship", "manifest.json")
    ended_well(stack, STORAGE, run_id, 9000)
    (fan_in,) = stack.airflow.instances(STORAGE, run_id, "collect_ship")
    assert (fan_in["try_number"], len(done)) == (2, 1)

    # Somebody clears the generator alone: what was done is there, in another file is the plan.
    stack.airflow.clear(STORAGE, run_id, "keys")
    assert stack.airflow.wait(STORAGE, run_id) == "success"
    (plan,) = (key for key in stack.s3.objects(stack.bucket) if f"{run_id}/keys/" in unquote(key))
    whole, place = stack.s3.objects(stack.bucket)[plan], {"Bucket": stack.bucket, "Key": plan}
    # Half of it is lost, and the second batch is to be done again.
    stack.s3.client().put_object(**place, Body=whole[: len(whole) // 2])
    stack.airflow.clear(STORAGE, run_id, "ship", 1, downstream=True)
    assert stack.airflow.wait(STORAGE, run_id) == "failed"
    instances = stack.airflow.instances(STORAGE, run_id)
    states = {(one["task_id"], one["map_index"]): (one["state"], one["try_number"]) for one in instances}
    assert states["ship", 1] == ("failed", 3)
    log = stack.airflow.log(STORAGE, run_id, "ship", 1, try_number=3)
    assert "its bytes 138,000 to 275,999 should have 3,000 items, but the rest is missing" in log
    assert states["collect_ship", -1] == ("failed", 3)
    log = stack.airflow.log(STORAGE, run_id, "collect_ship", try_number=3)
    assert "Its generator was cleared without it: clear ship with everything downstream" in log

    # It is mended, and done as it is said there.
    stack.s3.client().put_object(**place, Body=whole)
    stack.airflow.clear(STORAGE, run_id, "ship", downstream=True)
    assert stack.airflow.wait(STORAGE, run_id) == "success"
    assert stack.airflow.xcom(STORAGE, run_id, "added_up") == all_of(9000)
    assert stack.airflow.xcom(STORAGE, run_id, "collect_times")["succeeded"] == 9000


@pytest.mark.versions
def test_one_failure_more_than_tolerated_fails_and_a_retry_works_on_these_items_alone(
    stack, tmp_path, mapping_kit
):
    run_id = started(stack, XCOMS, tmp_path, items=20_000, fail=100, tolerated=199)
    stack.airflow.wait(XCOMS, run_id)
    (fan_in,) = stack.airflow.instances(XCOMS, run_id, "collect_ship")
    assert fan_in["state"] == "failed"
    report = stack.airflow.xcom(XCOMS, run_id, "collect_ship")
    assert (report["total"], report["succeeded"], report["failed"]) == (20_000, 19_800, 200)
    # What failed has no value for the batches after it.
    after = stack.airflow.xcom(XCOMS, run_id, "collect_times")
    assert (after["total"], after["succeeded"], after["upstream_failed"]) == (20_000, 19_800, 200)
    assert stack.airflow.xcom(XCOMS, run_id, "added_up")["rows"] == 20_000
    code, out, _ = mapping_kit("status", XCOMS, run_id, "ship", "--failed", "--output", "json")
    assert code == 1
    (task,) = json.loads(out)["tasks"]
    assert len(task["results"]) == 200

    Path(tmp_path, "healed").touch()
    code, _, err = mapping_kit("retry", XCOMS, run_id, "ship", "--yes")
    assert code == 0, err
    stack.airflow.wait(XCOMS, run_id)
    assert stack.airflow.xcom(XCOMS, run_id, "collect_ship")["succeeded"] == 20_000
    assert stack.airflow.xcom(XCOMS, run_id, "added_up") == all_of(20_000)
    worked = [line for path in Path(tmp_path).glob("calls-*") for line in path.read_text().split()]
    assert len(worked) == 200
