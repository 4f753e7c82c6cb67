"""The same work on so many items, the ways that people have: items that only return, or wait as for an answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pendulum

from airflow_mapping_kit.compat import AIRFLOW_3, dag, task
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.operators.dagrun import TriggerDagRunPerItemOperator

if AIRFLOW_3:
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
else:
    from airflow.models.dagrun import DagRun
    from airflow.operators.trigger_dagrun import TriggerDagRunOperator

DAG = {
    "schedule": None,
    "start_date": pendulum.datetime(2024, 1, 1),
    "params": {"items": 4, "wait": 0.0, "size": 2, "threads": 16},
    "render_template_as_native_obj": True,
}


def work(item: int, wait: float) -> int:
    """Do what there is to do for one item."""
    if wait:
        time.sleep(wait)
    return item


@task
def items(params=None):
    """List the items."""
    return list(range(params["items"]))


@dag("plain_mapping", **DAG)
def plain_mapping():
    """Map over the items."""

    @task
    def one(item, params=None):
        return work(item, params["wait"])

    one.expand(item=items())


@dag("processor_sender", **DAG)
def processor_sender():
    """Trigger a run of another DAG an item, and poll until all have ended."""

    @task
    def triggers(found, params=None, run_id=None):
        shared = {"wait": params["wait"], "parent": run_id}
        return [{"conf": {"item": item, **shared}, "trigger_run_id": f"{run_id}__{item}"} for item in found]

    # Airflow 3 fails a sensor that is to look again before it has noticed that it ended.
    @task.sensor(poke_interval=6 if AIRFLOW_3 else 2, mode="reschedule", timeout=7200)
    def poll(triggered, ti=None, run_id=None):
        if AIRFLOW_3:
            # Nobody lists runs to a task; it may ask how many ended, by a URL that has room for some hundred.
            ids = [one["trigger_run_id"] for one in triggered]
            ended = sum(
                ti.get_dr_count("sender", run_ids=ids[start : start + 250], states=["success", "failed"])
                for start in range(0, len(ids), 250)
            )
        else:
            runs = [run for run in DagRun.find(dag_id="sender") if run.conf.get("parent") == run_id]
            ended = sum(run.state in {"success", "failed"} for run in runs)
        return ended == len(triggered)

    triggered = triggers(items())
    trigger = TriggerDagRunOperator.partial(task_id="trigger", trigger_dag_id="sender")
    trigger.expand_kwargs(triggered) >> poll(triggered)


@dag("child_runs", **DAG)
def child_runs():
    """Start a run of another DAG an item, and wait for all of them in one task."""
    TriggerDagRunPerItemOperator(
        task_id="runs",
        trigger_dag_id="sender",
        items=items(),
        conf={"wait": "{{ params.wait }}"},
        poke_interval=2,
    )


@dag("sender", schedule=None, start_date=DAG["start_date"], max_active_runs=64)
def sender():
    """Do one item."""

    @task
    def one(dag_run=None):
        return work(dag_run.conf["item"], dag_run.conf["wait"])

    one()


@dag("one_loop", **DAG)
def one_loop():
    """Loop over the items in one task."""

    @task
    def every(found, params=None):
        return [work(item, params["wait"]) for item in found]

    every(items())


@dag("one_pool", **DAG)
def one_pool():
    """Give the items to a pool of threads in one task."""

    @task
    def every(found, params=None):
        with ThreadPoolExecutor(params["threads"]) as pool:
            return list(pool.map(work, found, [params["wait"]] * len(found)))

    every(items())


@dag("loop_a_batch", **DAG)
def loop_a_batch():
    """Map over batches, and loop over the items of each."""

    @task
    def chunks(found, params=None):
        return [found[start : start + params["size"]] for start in range(0, len(found), params["size"])]

    @task
    def every(batch, params=None):
        return [work(item, params["wait"]) for item in batch]

    every.expand(batch=chunks(items()))


@dag("task_batched", **DAG)
def task_batched():
    """Map over batches with `@task.batched`."""

    @batched(concurrency=16)
    def one(item, params=None):
        return work(item, params["wait"])

    one.expand(item=batches(items(), batch_size="{{ params.size }}"))


for build in (
    plain_mapping,
    processor_sender,
    child_runs,
    sender,
    one_loop,
    one_pool,
    loop_a_batch,
    task_batched,
):
    build()
