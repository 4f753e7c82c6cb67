"""Metadata says which reports this run makes, of which subjects and by which query.

To switch a report on or to add a subject, change the metadata and not the DAG. The first task turns the metadata into
arguments of the operator, and `expand_kwargs` creates an instance for each of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pendulum

try:
    from airflow.sdk import Param, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator

INCLUDE = Path(__file__).resolve().parents[1] / "include"


@dag(
    dag_display_name="Reports: what to do is metadata",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    params={
        "metadata": Param(str(INCLUDE / "data" / "reports.json"), type="string"),
        "target": Param(str(INCLUDE / "lake" / "reports"), type="string"),
    },
    tags=["example", "duckdb", "expand_kwargs"],
    doc_md=__doc__,
)
def metadata_driven():
    @task(task_display_name="Read which reports are wanted")
    def work(metadata: str, target: str) -> list[dict]:
        """Return the arguments of one instance each: a query, a target and a partition."""
        entries = json.loads(Path(metadata).read_text())
        queries = INCLUDE / "sql" / "reports"
        return [
            {
                "sql": (queries / entry["sql"]).read_text(),
                # All partitions of a target must have the same columns, and reports have different ones.
                "target": f"{target}/{entry['report']}",
                "partition": {"report": entry["report"], "subject": subject},
            }
            for entry in entries
            if entry["active"]
            for subject in entry["subjects"]
        ]

    reports = DuckDBPartitionOperator.partial(
        task_id="report",
        task_display_name="Make one report",
        parameters={"source": str(INCLUDE / "data" / "flights-2013-01.csv.gz")},
        # The name of the report is part of the path, never of a query.
        unused=["report"],
        map_index_template=label("{report} of {subject}"),
    ).expand_kwargs(work("{{ params.metadata }}", "{{ params.target }}"))
    collect(reports, task_display_name="What became of every report")


metadata_driven()
