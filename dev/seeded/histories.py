"""What became of partitions over runs: a year as people have it, and even ones to measure with."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.partitions import date_range, partition_key, product
from seeded.rows import Instance, Rows, Run
from seeded.sliced import sliced_100000, sliced_1000000, sliced_in_xcoms

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.postgres import Postgres

    Partition = dict[str, Any]

ORIGINS = ["EWR", "JFK", "LGA"]
LATE = {
    "type": "FileNotFoundError",
    "message": "[Errno 2] No such file or directory: 's3://raw/flights/LGA/2013-05.parquet'\n"
    "The landing job of LGA has not delivered.",
}
SLOW = {"type": "HTTPError", "message": "503 Slow Down: SlowDown (reached max retries: 4)"}
KILLED = {"type": None, "message": "no exception recorded"}
SLOTS = 16
DAY = timedelta(days=1)


def _last_week() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0) - 10 * DAY


def instances(plan: list[Partition], error: Callable[[Partition], dict[str, Any] | None]) -> list[Instance]:
    """Return what became of each partition of a plan: loaded, or failed by an error."""
    made = []
    for index, partition in enumerate(plan):
        label = f"{partition['origin']} {partition['date']}"
        found = error(partition)
        record = {"key": partition_key(partition), "label": label, "try_number": 3 if found else 1}
        if found:
            record["error"] = found
        made.append(
            Instance(
                "failed" if found else "success",
                label,
                record["try_number"],
                3 + index // SLOTS * 1.5,
                1.2,
                record,
            )
        )
    return made


def reload(
    rows: Rows,
    dag_id: str,
    run_id: str,
    began: datetime,
    dimensions: dict[str, list[str]],
    error: Callable[[Partition], dict[str, Any] | None] = lambda _: None,
    *,
    kind: str = "manual",
) -> Run:
    """Write a run of a DAG of the trigger form, from its generator to its fan-in."""
    plan = product(**dimensions)
    made = instances(plan, error)
    failed = any(one.state == "failed" for one in made)
    dates = dimensions["date"]
    conf = {"mode": "custom", "start_date": dates[0], "end_date": dates[-1], "origin": dimensions["origin"]}
    seconds = 8 + len(plan) / SLOTS * 1.5
    run = rows.run(
        dag_id,
        run_id,
        began=began,
        state="failed" if failed else "success",
        seconds=seconds,
        kind=kind,
        conf=conf if kind == "manual" else None,
        logical=datetime.fromisoformat(dates[0]).replace(tzinfo=timezone.utc)
        if kind == "scheduled"
        else None,
    )
    rows.task(run, "reload_partitions", state="success", returned=plan, length=len(plan))
    rows.mapped(run, "load", made)
    rows.task(run, "collect_load", state="failed" if failed else "success", after=seconds - 1)
    return run


def year(postgres: Postgres, dag_id: str = "flights") -> None:
    """Write a year of three origins: loaded by one run, mended by others, LGA's last days of May still failing.

    No run has had the 3rd of July, and JFK's 24th of December is loaded but has failed since.
    """
    rows, first = Rows(postgres), _last_week()
    days = [day for day in date_range("2013-01-01", "2013-12-31") if day != "2013-07-03"]
    may = date_range("2013-05-01", "2013-05-31")

    def of_the_year(partition: Partition) -> dict[str, Any] | None:
        origin, date = partition["origin"], partition["date"]
        if origin == "LGA" and "2013-05-01" <= date <= "2013-05-31":
            return LATE
        if date in {"2013-07-12", "2013-07-13"} and origin != "LGA":
            return SLOW
        return None

    reload(rows, dag_id, "manual__the_year", first, {"origin": ORIGINS, "date": days}, of_the_year)
    reload(
        rows,
        dag_id,
        "manual__july_again",
        first + DAY,
        {"origin": ORIGINS, "date": ["2013-07-12", "2013-07-13"]},
    )
    reload(
        rows,
        dag_id,
        "manual__may_of_LGA",
        first + 3 * DAY,
        {"origin": ["LGA"], "date": may},
        lambda partition: LATE if partition["date"] >= "2013-05-25" else None,
    )
    reload(
        rows,
        dag_id,
        "scheduled__2013-12-24T00:00:00+00:00",
        first + 4 * DAY,
        {"origin": ORIGINS, "date": ["2013-12-24"]},
        lambda partition: KILLED if partition["origin"] == "JFK" else None,
        kind="scheduled",
    )


def even(postgres: Postgres, dag_id: str, *, origins: list[str], days: int, runs: int = 25) -> None:
    """Write runs of the same plan, of each of which one instance in fifty failed."""
    rows, rng = Rows(postgres), random.Random(7)
    last = datetime(2013, 1, 1) + timedelta(days=days - 1)
    dimensions = {"origin": origins, "date": date_range("2013-01-01", last.date().isoformat())}
    for number in range(runs):
        began = _last_week() - (runs - number) * DAY
        reload(
            rows,
            dag_id,
            f"manual__{number:03}",
            began,
            dimensions,
            lambda _: SLOW if rng.random() < 0.02 else None,
        )
        if not number:
            # Else PostgreSQL looks for the instance of each XCom as it would in an empty table.
            postgres.query("ANALYZE")


def even_1095(postgres: Postgres) -> None:
    """Write 25 runs of 1,095 partitions."""
    even(postgres, "even_1095", origins=ORIGINS, days=365)


def even_10000(postgres: Postgres) -> None:
    """Write 25 runs of 10,000 partitions."""
    even(postgres, "even_10000", origins=[f"A{number:02}" for number in range(10)], days=1000)


def batched_100000(postgres: Postgres) -> None:
    """Write one run of 100,000 partitions in batches of a hundred, of which one in 25 has some that failed."""
    rows, rng, began = Rows(postgres), random.Random(7), _last_week()
    last = datetime(2013, 1, 1) + timedelta(days=3999)
    days = date_range("2013-01-01", last.date().isoformat())
    plan = product(origin=[f"A{number:02}" for number in range(25)], date=days)
    batches = [plan[start : start + 100] for start in range(0, len(plan), 100)]
    run = rows.run("batched_100000", "manual__000", began=began, state="failed", seconds=5400)
    rows.task(run, "date_range", state="success", returned=days, length=len(days))
    rows.task(run, "product", state="success", returned=plan, length=len(plan))
    rows.task(run, "batches", state="success", returned=batches, length=len(batches))
    made = []
    for index, batch in enumerate(batches):
        bad = {rng.randrange(100) for _ in range(3)} if rng.random() < 0.04 else set()
        results = [
            {
                "key": partition_key(partition),
                "state": "failed" if at in bad else "success",
                "value": None if at in bad else "loaded",
                "error": SLOW if at in bad else None,
                "tries": 1,
                "duration_s": 0.2,
            }
            for at, partition in enumerate(batch)
        ]
        label = f"items {index * 100 + 1:,}–{index * 100 + 100:,} of {len(plan):,}"
        record = {"key": f"batch={index}", "label": label, "try_number": 1}
        if bad:
            record["error"] = {
                "type": "AirflowFailException",
                "message": f"{len(bad)} of 100 items have failed",
            }
        made.append(
            Instance("failed" if bad else "success", label, 1, 3 + index * 2, 20, record, returned=results)
        )
    rows.mapped(run, "load", made)
    rows.task(run, "collect_load", state="failed", after=5300)


def mended(postgres: Postgres) -> None:
    """Write the year once more, for what is to be run again."""
    year(postgres, "mended")


HISTORIES = {
    "flights": year,
    "mended": mended,
    "even_1095": even_1095,
    "even_10000": even_10000,
    "batched_100000": batched_100000,
    "sliced_100000": sliced_100000,
    "sliced_in_xcoms": sliced_in_xcoms,
    "sliced_1000000": sliced_1000000,
}
