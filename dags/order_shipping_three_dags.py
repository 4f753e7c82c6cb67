"""The old way: a main DAG triggers a sub DAG for each item of an order, and a third DAG polls them.

It is here to compare it with `order_shipping`, which does the same in one DAG. Only run ids connect the parts: the
main DAG makes them up, and passes them on in the `conf` of the runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pendulum

try:
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
    from airflow.sdk import Param, dag, get_current_context, task

    def state_of(dag_id: str, run_id: str) -> str:
        return get_current_context()["ti"].get_dagrun_state(dag_id, run_id)

except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.models.dagrun import DagRun
    from airflow.models.param import Param
    from airflow.operators.trigger_dagrun import TriggerDagRunOperator

    def state_of(dag_id: str, run_id: str) -> str:
        return DagRun.find(dag_id=dag_id, run_id=run_id)[0].state


INCLUDE = Path(__file__).resolve().parents[1] / "include"
START = pendulum.datetime(2024, 1, 1)
TAGS = ["example", "three DAGs"]


# [START main]
@dag(
    dag_display_name="Orders, the old way: main",
    schedule=None,
    start_date=START,
    params={
        "order": Param(str(INCLUDE / "data" / "order.json"), type="string"),
        "address_book": Param(str(INCLUDE / "data" / "addresses.json"), type="string"),
        "target": Param(str(INCLUDE / "lake" / "shipping"), type="string"),
    },
    tags=TAGS,
    doc_md=__doc__,
)
def order_main():
    @task
    def runs(params: dict | None = None, run_id: str | None = None) -> list[dict]:
        items = json.loads(Path(params["order"]).read_text())["items"]
        places = {name: params[name] for name in ("address_book", "target")}
        return [
            {
                "trigger_run_id": f"{run_id}__{item['item']}",
                "conf": {"piece": item, "order_run": run_id, **places},
            }
            for item in items
        ]

    plan = runs()
    send = TriggerDagRunOperator.partial(task_id="send", trigger_dag_id="order_sub").expand_kwargs(plan)  # noqa: MAP001
    poll = TriggerDagRunOperator(task_id="poll", trigger_dag_id="order_poll", conf={"runs": plan})
    send >> poll


# [END main]


# [START sub]
@dag(
    dag_display_name="Orders, the old way: sub",
    schedule=None,
    start_date=START,
    max_active_runs=3,
    tags=TAGS,
)
def order_sub():
    @task
    def ship(dag_run: Any = None) -> str:
        piece = dag_run.conf["piece"]
        address = json.loads(Path(dag_run.conf["address_book"]).read_text())[piece["customer"]]
        if not address["postcode"]:
            raise ValueError(f"{piece['customer']} has no postcode")
        folder = Path(dag_run.conf["target"])
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"item-{piece['item']:02}.json"
        path.write_text(json.dumps({**piece, "to": address}))
        return str(path)

    ship()


# [END sub]


# [START poll]
@dag(
    dag_display_name="Orders, the old way: poll",
    schedule=None,
    start_date=START,
    tags=TAGS,
)
def order_poll():
    # Airflow 3 can need five seconds to notice that a task has ended. It fails a task that starts again before that.
    @task.sensor(poke_interval=10, timeout=3600, mode="reschedule")
    def all_done(dag_run: Any = None) -> bool:
        ids = [run["trigger_run_id"] for run in dag_run.conf["runs"]]
        return all(state_of("order_sub", run_id) in {"success", "failed"} for run_id in ids)

    @task
    def summarise(dag_run: Any = None) -> dict:
        found: dict[str, list[int]] = {"success": [], "failed": []}
        for run in dag_run.conf["runs"]:
            found[state_of("order_sub", run["trigger_run_id"])].append(run["conf"]["piece"]["item"])
        return found

    all_done() >> summarise()


# [END poll]


order_main()
order_sub()
order_poll()
