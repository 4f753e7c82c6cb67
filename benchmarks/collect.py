"""Measure `collect` over 1,000 results against Airflow's own `list(xs)`: `python benchmarks/collect.py`.

Both read what the same 1,000 instances left in the same PostgreSQL, in one process, taking turns. `list(xs)`
gives the values of those that returned one, in a row and without gaps; `collect` gives all 1,000 with key,
state, duration, try, value and error. What is asked for is counted as it is sent: queries on Airflow 2, calls
of the API server on Airflow 3, where both run in a task whose supervisor talks to a real one.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "dev"), str(PROJECT / "tests" / "lib")]
# What the task `measure` does.
_measure: list[Callable[[Any], Any]] = []


def declared() -> Any:
    """Return the DAG: a plan, the work mapped over it, Airflow's fan-in and the kit's."""
    import pendulum

    from airflow_mapping_kit.fan_in import collect
    from airflow_mapping_kit.labels import label
    from airflows import dag, get_current_context, task

    @dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
    def measured() -> None:
        @task
        def plan() -> list[dict[str, Any]]:
            return []

        @task(map_index_template=label("{origin} {date}"))
        def work(partition: dict[str, Any]) -> Any:
            return partition

        @task(trigger_rule="all_done")
        def plain(xs: Any) -> list[Any]:
            return list(xs)

        @task
        def measure() -> None:
            _measure[0](get_current_context())

        worked = work.expand(partition=plan())
        plain(worked)
        collect(worked, tolerated_failure_percentage=100)
        measure()

    return measured()


def filled(dag: Any, pieces: int) -> Any:
    """Write what a run of so many pieces leaves behind, a tenth of them failed; return the run."""
    from airflow.models.taskinstance import TaskInstance

    from airflow_mapping_kit.compat import set_label
    from airflows import AIRFLOW_3, Run, create_session, scheduler_dag, store_xcom

    run = Run(dag).dag_run
    plan = [{"origin": ("EWR", "JFK", "LGA")[n % 3], "date": f"day {n // 3}"} for n in range(pieces)]
    work = scheduler_dag(dag).get_task("work")
    version = {"dag_version_id": run.created_dag_version_id} if AIRFLOW_3 else {}
    with create_session() as session:
        instances = session.query(TaskInstance).filter_by(dag_id=dag.dag_id, run_id=run.run_id)
        instances.filter_by(task_id="work").delete()
        instances.filter_by(task_id="plan").update({"state": "success"})
        for index, piece in enumerate(plan):
            instance = TaskInstance(work, run_id=run.run_id, map_index=index, **version)
            instance.state = "failed" if index % 10 == 1 else "success"
            instance.try_number, instance.duration = 1, 1.5
            set_label(instance, f"{piece['origin']} {piece['date']}")
            session.add(instance)
    store_xcom(run, "plan", plan)
    for index, piece in enumerate(plan):
        record: dict[str, Any] = {
            "key": f"date={piece['date']}/origin={piece['origin']}",
            "label": f"{piece['origin']} {piece['date']}",
            "map_index": index,
            "try_number": 1,
        }
        if index % 10 == 1:
            record["error"] = {"type": "ValueError", "message": "no such file"}
        else:
            store_xcom(run, "work", {"rows": index, "path": f"lake/{index}"}, map_index=index)
        store_xcom(run, "work", record, map_index=index, key="mapping_kit")
    return run


@contextlib.contextmanager
def queries() -> Iterator[list[str]]:
    """Give the statements that are sent to the database meanwhile."""
    from airflow import settings
    from sqlalchemy import event

    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)


def in_database(dag: Any, run: Any, rounds: int) -> list[Any]:
    """Measure both beside the database, as tasks of Airflow 2 are."""
    from airflows import create_session

    def airflows() -> list[Any]:
        with create_session() as session:
            instance = run.get_task_instance("plain", session=session)
            instance.task = dag.get_task("plain")
            context = {"ti": instance, "expanded_ti_count": None, "run_id": run.run_id}
            (reference,) = instance.task.op_args
            return list(reference.resolve(context, session=session))

    fan_in = {"run_id": run.run_id, "ti": run.get_task_instance("collect_work")}

    def kits() -> list[Any]:
        results: list[Any] = dag.get_task("collect_work").execute(fan_in)["results"]
        return results

    with queries() as sent:
        return [(timed(airflows, sent), timed(kits, sent)) for _ in range(rounds)]


def through_api(dag: Any, run: Any, rounds: int) -> list[Any]:
    """Measure both in a task of Airflow 3, whose supervisor talks to the API server."""
    from airflow.configuration import conf
    from airflow.executors.base_executor import BaseExecutor
    from airflow.sdk.api.client import Client
    from airflow.sdk.api.datamodels._generated import TaskInstance
    from airflow.sdk.execution_time.supervisor import run_task_in_process

    from airflow_mapping_kit.compat import own_session

    with own_session() as session:
        row = session.merge(run.get_task_instance("measure"))
        row.state, row.try_number = "queued", 1
        names = ("id", "task_id", "dag_id", "run_id", "try_number", "map_index", "dag_version_id")
        instance = TaskInstance(**{name: getattr(row, name) for name in names})
    sent: list[Any] = []
    client = Client(
        base_url=conf.get_mandatory_value("core", "execution_api_server_url"),
        token=BaseExecutor(parallelism=1).jwt_generator.generate({"sub": str(instance.id)}),
    )
    client.event_hooks["request"].append(sent.append)
    found: list[Any] = []

    def measure(context: Any) -> None:
        (reference,) = dag.get_task("plain").op_args

        def airflows() -> list[Any]:
            return list(reference.resolve(context))

        def kits() -> list[Any]:
            results: list[Any] = dag.get_task("collect_work").execute(context)["results"]
            return results

        found.extend((timed(airflows, sent), timed(kits, sent)) for _ in range(rounds))

    _measure[:] = [measure]
    result = run_task_in_process(ti=instance, task=dag.get_task("measure"), client=client)
    if result.error:
        raise result.error
    return found


def timed(function: Callable[[], list[Any]], sent: list[Any]) -> tuple[float, int, int]:
    """Return milliseconds, how often something was asked for, and how many results there were."""
    before, start = len(sent), time.perf_counter()
    found = function()
    return 1000 * (time.perf_counter() - start), len(sent) - before, len(found)


def main() -> None:
    """Print a Markdown table of the medians, and the median of the pairs' ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pieces", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    from stack.airflow import AIRFLOW_3, Airflow
    from stack.ports import free_port
    from stack.postgres import Postgres
    from stack.processes import Processes

    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        postgres = Postgres(processes, Path(folder, "postgres.log"))
        (dags := Path(folder, "dags")).mkdir()
        airflow = Airflow(
            processes,
            postgres,
            home=Path(folder, "airflow"),
            dags_folder=dags,
            settings={"LOGGING__LOGGING_LEVEL": "ERROR"},
        )
        airflow.migrate()
        if AIRFLOW_3:
            airflow.start_webserver(free_port())
        os.environ.update(airflow.environment)
        logging.disable(logging.WARNING)
        dag = declared()
        run = filled(dag, options.pieces)
        measured = through_api if AIRFLOW_3 else in_database
        rounds = measured(dag, run, options.rounds + 1)[1:]
    what = f"{options.pieces:,} pieces of which a tenth failed, medians of {options.rounds} paired runs"
    print(f"| {what} | ms | {'API calls' if AIRFLOW_3 else 'queries'} | results |\n|---|---|---|---|")
    for name, side in (("list(xs)", 0), ("collect", 1)):
        milliseconds = statistics.median(pair[side][0] for pair in rounds)
        print(f"| `{name}` | {milliseconds:.1f} | {rounds[-1][side][1]} | {rounds[-1][side][2]:,} |")
    ratio = statistics.median(ours[0] / theirs[0] for theirs, ours in rounds)
    print(f"| ratio, median of the pairs | {ratio:.2f} | | |")


if __name__ == "__main__":
    main()
