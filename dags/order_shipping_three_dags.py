"""The way that people had: a main DAG triggers a sub DAG for each item of an order, and a third DAG polls them.

Kept here to be compared with `order_shipping`, which does the same as one DAG. The parts know each other by
what is in their runs' `conf` alone: which order a run belongs to, and how many there have to be.
"""

from __future__ import annotations

import json
from pathlib import Path

import pendulum
from airflow.decorators import dag, task
from airflow.models.dagrun import DagRun
from airflow.models.param import Param
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

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
    def confs(params: dict | None = None, run_id: str | None = None) -> list[dict]:
        items = json.loads(Path(params["order"]).read_text())["items"]
        places = {name: params[name] for name in ("address_book", "target")}
        return [{"piece": item, "order_run": run_id, "items": len(items), **places} for item in items]

    send = TriggerDagRunOperator.partial(task_id="send", trigger_dag_id="order_sub")
    poll = TriggerDagRunOperator(
        task_id="poll", trigger_dag_id="order_poll", conf={"order_run": "{{ run_id }}"}
    )
    send.expand(conf=confs()) >> poll


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
    def ship(dag_run: DagRun | None = None) -> str:
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
    def sent(order_run: str) -> list[DagRun]:
        return [run for run in DagRun.find(dag_id="order_sub") if run.conf.get("order_run") == order_run]

    @task.sensor(poke_interval=5, timeout=3600, mode="reschedule")
    def all_done(dag_run: DagRun | None = None) -> bool:
        runs = sent(dag_run.conf["order_run"])
        return (
            bool(runs)
            and len(runs) == runs[0].conf["items"]
            and all(run.state in {"success", "failed"} for run in runs)
        )

    @task
    def summarise(dag_run: DagRun | None = None) -> dict:
        runs = sorted(sent(dag_run.conf["order_run"]), key=lambda run: run.conf["piece"]["item"])
        return {
            state: [run.conf["piece"]["item"] for run in runs if run.state == state]
            for state in ("success", "failed")
        }

    all_done() >> summarise()


# [END poll]


order_main()
order_sub()
order_poll()
