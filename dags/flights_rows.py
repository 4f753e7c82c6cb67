"""Look at every flight of a month. Each row of a file is an item of its own: 27,004 items in six instances.

No process ever holds all of them. The file is read as a stream, each instance works on its part and makes a row for
each flight, and the fan-in counts them. Whoever flew late enough gets money back. A flight that never arrived is
skipped, and the others go on.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pendulum

try:
    from airflow.sdk import Param, dag, task
    from airflow.sdk.exceptions import AirflowSkipException
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.exceptions import AirflowSkipException
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect, rows
from airflow_mapping_kit.generators import file_rows

INCLUDE = Path(__file__).resolve().parents[1] / "include"
COLUMNS = ["carrier", "flight", "origin", "time_hour", "arr_delay"]


@dag(
    dag_display_name="Flights: every row of a file",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    params={
        "file": Param(
            str(INCLUDE / "data" / "flights-2013-01.csv.gz"), type="string", description="A file or a glob"
        ),
        "late": Param(
            180, type="integer", minimum=1, description="From how many minutes on a flight is late"
        ),
    },
    tags=["example", "batches"],
    doc_md=__doc__,
)
def flights_rows():
    # These four fields together name a flight uniquely.
    @task.batched(task_display_name="Look at a flight", key=COLUMNS[:4])
    def look(flight: dict, late: str) -> str | None:
        # All values of a CSV are text, also missing ones.
        if flight["arr_delay"] == "NA":
            raise AirflowSkipException("It never arrived.")
        return flight["carrier"] if int(flight["arr_delay"]) >= int(late) else None

    @task(task_display_name="Count by carrier")
    def count(report: dict) -> dict:
        late = Counter(row["value"] for row in rows(report) if row["value"])
        return {"flights": report["total"], "left out": report["skipped"], "late": dict(late.most_common())}

    flights = file_rows.override(task_display_name="Read the flights")(
        "{{ params.file }}", columns=COLUMNS, batch_size=5_000
    )
    count(collect(look.partial(late="{{ params.late }}").expand(flight=flights)))


flights_rows()
