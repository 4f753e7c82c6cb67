"""Measure `collect` over 1,000 results against Airflow's own `list(xs)`: `python benchmarks/collect.py`.

Both read what the same 1,000 instances left in the same PostgreSQL, in one process, taking turns. `list(xs)`
gives the values of those that returned one, in a row and without gaps; `collect` gives all 1,000 with key,
state, duration, try, value and error. Queries are counted as they are sent.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))


def declared() -> Any:
    """Return the DAG: a plan, the work mapped over it, Airflow's fan-in and the kit's."""
    import pendulum
    from airflow.decorators import dag, task

    from airflow_mapping_kit.fan_in import collect
    from airflow_mapping_kit.labels import label

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

        worked = work.expand(partition=plan())
        plain(worked)
        collect(worked, tolerated_failure_percentage=100)

    return measured()


def filled(dag: Any, pieces: int) -> Any:
    """Write what a run of so many pieces leaves behind, a tenth of them failed; return the run."""
    import pendulum
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XCom
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType

    dag.sync_to_db()
    now = pendulum.now("UTC")
    run = dag.create_dagrun(
        run_id="measured", run_type=DagRunType.MANUAL, state=DagRunState.RUNNING, execution_date=now,
        data_interval=(now, now), start_date=now,
    )  # fmt: skip
    plan = [{"origin": ("EWR", "JFK", "LGA")[n % 3], "date": f"day {n // 3}"} for n in range(pieces)]
    place = {"dag_id": dag.dag_id, "run_id": run.run_id}
    with create_session() as session:
        session.query(TaskInstance).filter_by(task_id="work", **place).delete()
        XCom.set(key="return_value", value=plan, task_id="plan", session=session, **place)
        for index, piece in enumerate(plan):
            failed = index % 10 == 1
            instance = TaskInstance(dag.get_task("work"), run_id=run.run_id, map_index=index)
            instance.state = "failed" if failed else "success"
            instance.try_number, instance.duration = 1, 1.5
            instance.rendered_map_index = f"{piece['origin']} {piece['date']}"
            session.add(instance)
            record: dict[str, Any] = {
                "key": f"date={piece['date']}/origin={piece['origin']}",
                "try_number": 1,
            }
            if failed:
                record["error"] = {"type": "ValueError", "message": "no such file"}
            else:
                value = {"rows": index, "path": f"lake/{index}"}
                XCom.set(
                    key="return_value", value=value, task_id="work", map_index=index, session=session, **place
                )
            XCom.set(
                key="mapping_kit", value=record, task_id="work", map_index=index, session=session, **place
            )
    return run


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
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


def airflows(dag: Any, run: Any) -> list[Any]:
    """Do what a task does that takes the mapped task's output as an argument and makes a list of it."""
    from airflow.utils.session import create_session

    with create_session() as session:
        instance = run.get_task_instance("plain", session=session)
        instance.task = dag.get_task("plain")
        context = {"ti": instance, "expanded_ti_count": None, "run_id": run.run_id}
        (reference,) = instance.task.op_args
        return list(reference.resolve(context, session=session))


def kits(dag: Any, run: Any) -> list[Any]:
    """Do what the fan-in does."""
    results: list[Any] = dag.get_task("collect_work").execute({"run_id": run.run_id})["results"]
    return results


def timed(function: Callable[..., list[Any]], *arguments: Any) -> tuple[float, int, int]:
    """Return milliseconds, statements, and how many results there were."""
    with counted() as statements:
        start = time.perf_counter()
        found = function(*arguments)
        return 1000 * (time.perf_counter() - start), len(statements), len(found)


def main() -> None:
    """Print a Markdown table of the medians, and the median of the pairs' ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pieces", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    from stack.postgres import Postgres
    from stack.processes import Processes

    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        postgres = Postgres(processes, Path(folder, "postgres.log"))
        os.environ["AIRFLOW_HOME"] = folder
        os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = postgres.sqlalchemy_url
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
        logging.disable(logging.WARNING)
        dag = declared()
        run = filled(dag, options.pieces)
        rounds = [(timed(airflows, dag, run), timed(kits, dag, run)) for _ in range(options.rounds + 1)][1:]
    plain, kit = ([pair[side] for pair in rounds] for side in (0, 1))
    print(f"{options.pieces:,} pieces of which a tenth failed, medians of {options.rounds} paired runs\n")
    print("| | ms | queries | results |\n|---|---|---|---|")
    for name, measured in (("list(xs)", plain), ("collect", kit)):
        milliseconds = statistics.median(one[0] for one in measured)
        print(f"| `{name}` | {milliseconds:.1f} | {measured[-1][1]} | {measured[-1][2]:,} |")
    ratio = statistics.median(ours[0] / theirs[0] for theirs, ours in rounds)
    print(f"| ratio, median of the pairs | {ratio:.2f} | | |")


if __name__ == "__main__":
    main()
