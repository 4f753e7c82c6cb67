from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pendulum
from airflow.decorators import dag, task
from airflow.models.param import Param

INCLUDE = Path(__file__).resolve().parents[1] / "include"


def write_day(day: str) -> int:
    with gzip.open(INCLUDE / "data" / "flights-2013-01.csv.gz", "rt", newline="") as source:
        rows = [
            row
            for row in csv.DictReader(source)
            if f"{row['year']}-{row['month']:0>2}-{row['day']:0>2}" == day
        ]
    target = INCLUDE / "lake" / "first_hour" / f"{day}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


# [START dag]
@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    params={
        "from_day": Param("2013-01-01", type="string", format="date"),
        "to_day": Param("2013-01-03", type="string", format="date"),
    },
)
def flights_reload_days():
    @task
    def load(params=None):
        first, last = pendulum.parse(params["from_day"]), pendulum.parse(params["to_day"])
        for number in range((last - first).days + 1):
            write_day(first.add(days=number).to_date_string())

    load()


# [END dag]


flights_reload_days()
