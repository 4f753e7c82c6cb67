"""A price for every article, tax on every price, and one sum of the right values, whatever fails in between.

An article without a price fails, and a free one is skipped. Airflow's own reduce would get only the prices that
exist, and couldn't tell whose they are.
"""

from __future__ import annotations

import pendulum

try:
    from airflow.sdk import Param, dag, task, task_group
    from airflow.sdk.exceptions import AirflowSkipException
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task, task_group
    from airflow.exceptions import AirflowSkipException
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label

CENTS = {"apple": 120, "bread": 350, "cheese": 899, "dates": 640, "leaflet": 0}
TAX_PERCENT = {"apple": 7, "bread": 7, "cheese": 7, "dates": 19}


@dag(
    dag_display_name="Transform and reduce: the sum of the right ones",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    params={
        "articles": Param(["apple", "unicorn", "bread", "leaflet", "cheese", "dates"], type="array"),
        "tolerated": Param(1, type="integer", minimum=0, description="How many articles may fail"),
    },
    tags=["example", "fan-in"],
    doc_md=__doc__,
)
def transform_reduce():
    @task(task_display_name="List the articles")
    def articles(params: dict | None = None) -> list[str]:
        return params["articles"]

    @task_group(group_id="article")
    def taxed(article: str):
        @task(task_display_name="Price", map_index_template=label("{article}"))
        def price(article: str) -> int:
            cents = CENTS[article]
            if not cents:
                raise AirflowSkipException(f"{article} is free.")
            return cents

        @task(task_display_name="Add tax", map_index_template=label("{article}"))
        def add_tax(article: str, cents: int) -> int:
            return round(cents * (100 + TAX_PERCENT[article]) / 100)

        return add_tax(article, price(article))

    @task(task_display_name="Sum")
    def total(report: dict) -> dict:
        priced = {row["label"]: row["value"] for row in report["results"] if row["state"] == "success"}
        return {"cents": sum(priced.values()), "of": priced}

    every = taxed.expand(article=articles())
    total(collect(every, tolerated_failure_count="{{ params.tolerated }}"))


transform_reduce()
