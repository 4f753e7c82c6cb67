"""Partitions, labels and errors as a stranger would make them who wants to be more than text."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import product
from airflow_mapping_kit.labels import label

HOSTILE = [
    "<img src=x onerror=\"document.title='broken into'\">",
    "</script><script>document.title='broken into'</script>",
    "'\"`${document.title='broken into'}{{ 7 * 7 }}&amp;<b>bold</b>",
    "abc \u202eexe.txt\u2066 \u200bde",
    "=cmd|' /C calc'!A0",
    "javascript:document.title='broken into'",
    "../../admin?x=1&y=2#z%2F%00",
    "long " * 99 + "value",
]


@dag(
    "hostile",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    dag_display_name="<b>Hostile</b> \"'><script>document.title='broken into'</script>",
)
def hostile() -> None:
    @task
    def found() -> list[str]:
        return HOSTILE

    @task(
        map_index_template=label("{name}"),
        task_display_name="<i>load</i> \"'>",
    )
    def load(partition: dict[str, str]) -> None:
        raise ValueError(f"<script>document.title='broken into'</script> \u202e {partition['name']}")

    collect(load.expand(partition=product(name=found())))


hostile()
