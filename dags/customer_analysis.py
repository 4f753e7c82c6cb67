"""Several steps for each customer, and one aggregate after all of them. The customers are rows of a database.

Each customer goes through the steps on its own. A customer with bad data stops no other, and the aggregate says
who is missing.
"""

from __future__ import annotations

import csv
from contextlib import closing
from datetime import date
from pathlib import Path

import pendulum

try:
    from airflow.sdk import BaseHook, Param, dag, task, task_group
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task, task_group
    from airflow.hooks.base import BaseHook
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import sql_rows
from airflow_mapping_kit.labels import label

INCLUDE = Path(__file__).resolve().parents[1] / "include"
CONNECTION = "warehouse"


@dag(
    dag_display_name="Customers: several steps for each, one aggregate",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    params={
        "as_of": Param("2024-04-01", type="string", format="date", description="The day of the analysis"),
        "tolerated": Param(10, type="number", minimum=0, maximum=100, description="Per cent that may fail"),
    },
    tags=["example", "fan-in", "task group"],
    doc_md=__doc__,
)
def customer_analysis():
    @task(task_display_name="Fill the table of purchases")
    def fill_purchases() -> int:
        with (INCLUDE / "data" / "purchases.csv").open(newline="") as file:
            rows = [(row["customer"], row["day"], row["amount"]) for row in csv.DictReader(file)]
        with (
            closing(BaseHook.get_connection(CONNECTION).get_hook().get_conn()) as connection,
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS purchases"
                " (customer INT, day DATE, amount NUMERIC, PRIMARY KEY (customer, day))"
            )
            cursor.executemany("INSERT INTO purchases VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", rows)
            connection.commit()
        return len(rows)

    @task_group(group_id="customer")
    def analysed(row: dict):
        @task(task_display_name="Read purchases", map_index_template=label("customer {customer}"))
        def purchases(row: dict) -> list[dict]:
            found = (
                BaseHook.get_connection(CONNECTION)
                .get_hook()
                .get_records(
                    "SELECT day, amount FROM purchases WHERE customer = %(customer)s ORDER BY day",
                    parameters=row,
                )
            )
            return [{"day": str(day), "amount": float(amount)} for day, amount in found]

        @task(task_display_name="Score", map_index_template=label("customer {customer}"))
        def score(bought: list[dict], as_of: str) -> dict:
            last = date.fromisoformat(bought[-1]["day"])
            return {
                "days_since_last": (date.fromisoformat(as_of) - last).days,
                "purchases": len(bought),
                "spent": round(sum(each["amount"] for each in bought), 2),
            }

        @task(task_display_name="Assign a segment", map_index_template=label("customer {customer}"))
        def segment(scored: dict) -> dict:
            recent, often = scored["days_since_last"] <= 90, scored["purchases"] > 1
            name = "loyal" if recent and often else "new" if recent else "lost"
            return {**scored, "segment": name}

        return segment(score(purchases(row), "{{ params.as_of }}"))

    @task(task_display_name="Aggregate by segment")
    def aggregate(report: dict) -> dict:
        segments: dict[str, dict] = {}
        for row in report["results"]:
            if row["state"] == "success":
                found = segments.setdefault(row["value"]["segment"], {"customers": 0, "spent": 0.0})
                found["customers"] += 1
                found["spent"] = round(found["spent"] + row["value"]["spent"], 2)
        return {"segments": segments, "missing": [row["key"] for row in report["results"] if row["error"]]}

    customers = sql_rows.override(task_id="customers")(
        CONNECTION, "SELECT DISTINCT customer FROM purchases ORDER BY customer"
    )
    fill_purchases() >> customers
    aggregate(collect(analysed.expand(row=customers), tolerated_failure_percentage="{{ params.tolerated }}"))


customer_analysis()
