"""Measure how long it takes to say what the partitions are: the kit, Dagster and pandas, in one interpreter.

`python benchmarks/generation.py`, with the interpreter of an environment that has Dagster and pandas beside the
kit's pure part: `make bench` makes one. The three take turns; each gives the same keys, which is checked.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import dagster
import pandas as pd

from airflow_mapping_kit.partitions import date_range, partition_key, product

if TYPE_CHECKING:
    from collections.abc import Callable

warnings.filterwarnings("ignore")

START, END = "2014-01-01", "2023-12-31"
AFTER = (datetime.fromisoformat(END) + timedelta(days=1)).date().isoformat()
ORIGINS = ["EWR", "JFK", "LGA"]


def days_of_dagster() -> list[str]:
    """List the days of ten years."""
    return list(dagster.DailyPartitionsDefinition(start_date=START, end_date=AFTER).get_partition_keys())


def days_of_pandas() -> list[str]:
    """List the days of ten years."""
    return list(pd.date_range(START, END, freq="D").strftime("%Y-%m-%d"))


def hours_of_dagster() -> list[str]:
    """List the hours of ten years."""
    hours = dagster.HourlyPartitionsDefinition(start_date=f"{START}-00:00", end_date=f"{AFTER}-00:00")
    return [f"{key[:10]}T{key[11:13]}" for key in hours.get_partition_keys()]


def hours_of_pandas() -> list[str]:
    """List the hours of ten years."""
    return list(pd.date_range(START, f"{END} 23:00", freq="h").strftime("%Y-%m-%dT%H"))


def pairs_of_the_kit() -> list[str]:
    """List origins and days as keys."""
    partitions = product(date=date_range(START, END), origin=ORIGINS)
    return [partition_key(partition) for partition in partitions]


def pairs_of_dagster() -> list[str]:
    """List origins and days as keys."""
    both = dagster.MultiPartitionsDefinition(
        {
            "date": dagster.DailyPartitionsDefinition(start_date=START, end_date=AFTER),
            "origin": dagster.StaticPartitionsDefinition(ORIGINS),
        }
    )
    found = []
    for key in both.get_partition_keys():
        date, origin = key.split("|")
        found.append(f"date={date}/origin={origin}")
    return found


def pairs_of_pandas() -> list[str]:
    """List origins and days as keys."""
    index = pd.MultiIndex.from_product([pd.date_range(START, END), ORIGINS], names=["date", "origin"])
    frame = index.to_frame(index=False)
    return list("date=" + frame["date"].dt.strftime("%Y-%m-%d") + "/origin=" + frame["origin"])


CASES: dict[str, dict[str, Callable[[], list[str]]]] = {
    "the days of ten years": {
        "the kit": lambda: date_range(START, END),
        "Dagster": days_of_dagster,
        "pandas": days_of_pandas,
    },
    "the hours of ten years": {
        "the kit": lambda: date_range(START, END, every="hour"),
        "Dagster": hours_of_dagster,
        "pandas": hours_of_pandas,
    },
    "three origins × ten years of days": {
        "the kit": pairs_of_the_kit,
        "Dagster": pairs_of_dagster,
        "pandas": pairs_of_pandas,
    },
}


def timed(make: Callable[[], list[str]]) -> tuple[float, list[str]]:
    """Return the milliseconds that a call takes, and what it made."""
    start = time.perf_counter()
    made = make()
    return 1000 * (time.perf_counter() - start), made


def main() -> None:
    """Print a Markdown table of medians, and of the median of the pairs' ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    versions = f"Dagster {dagster.__version__}, pandas {pd.__version__}, Python {sys.version.split()[0]}"
    print(f"{versions}, medians of {options.rounds} rounds\n")
    print("| | partitions | the kit, ms | Dagster, ms | times the kit | pandas, ms | times the kit |")
    print("|---|---|---|---|---|---|---|")
    for title, ways in CASES.items():
        made = {name: sorted(make()) for name, make in ways.items()}
        if len({tuple(keys) for keys in made.values()}) != 1:
            raise SystemExit(f"{title}: not all make the same keys")
        rounds = [{name: timed(make)[0] for name, make in ways.items()} for _ in range(options.rounds)]
        medians = {name: statistics.median(one[name] for one in rounds) for name in ways}
        ratios = {
            name: statistics.median(one[name] / one["the kit"] for one in rounds)
            for name in ("Dagster", "pandas")
        }
        print(
            f"| {title} | {len(made['the kit']):,} | {medians['the kit']:.1f} | {medians['Dagster']:.1f} | "
            f"{ratios['Dagster']:.1f} | {medians['pandas']:.1f} | {ratios['pandas']:.1f} |"
        )


if __name__ == "__main__":
    main()
