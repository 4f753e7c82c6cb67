"""Measure how long it takes to say what the partitions are: the kit, Dagster and pandas, in one interpreter.

`python benchmarks/generation.py`, with the interpreter of an environment that has Dagster and pandas beside the
kit's pure part: `make bench` makes one. The three take turns; each gives the same keys, which is checked, each in
its own way to write them. CPU time is measured: the machine may have other things to do.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import dagster
import pandas as pd

from airflow_mapping_kit.partitions import date_range, keys, partition_key, product

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

warnings.filterwarnings("ignore")

START, END = "2014-01-01", "2023-12-31"
AFTER = (datetime.fromisoformat(END) + timedelta(days=1)).date().isoformat()
ZONE = "America/New_York"
ORIGINS = ["EWR", "JFK", "LGA"]


class Way(NamedTuple):
    """How one of the three says what the partitions are, and how what it said reads in the kit's keys."""

    make: Callable[[], Sequence[Any]]
    told: Callable[[Any], str] = str


def days_of_dagster(zone: str) -> Way:
    """List the days of ten years."""
    return Way(
        lambda: dagster.DailyPartitionsDefinition(
            start_date=START, end_date=AFTER, timezone=zone
        ).get_partition_keys()
    )


def hours_of_dagster(zone: str) -> Way:
    """List the hours of ten years."""

    def told(key: str) -> str:
        """Add the offset, which Dagster writes of the second of two like hours only: `2014-11-02-01:00-0500`."""
        hour = f"{key[:10]}T{key[11:13]}"
        if zone == "UTC":
            return hour
        moment = datetime.fromisoformat(f"{hour}:00").replace(tzinfo=ZoneInfo(zone))
        return f"{hour}{key[16:] or f'{moment:%z}'}"

    return Way(
        lambda: dagster.HourlyPartitionsDefinition(
            start_date=f"{START}-00:00", end_date=f"{AFTER}-00:00", timezone=zone
        ).get_partition_keys(),
        told,
    )


def days_of_pandas(zone: str) -> Way:
    """List the days of ten years."""
    return Way(lambda: pd.date_range(START, END, freq="D", tz=zone).strftime("%Y-%m-%d"))


def hours_of_pandas(zone: str) -> Way:
    """List the hours of ten years."""
    form = "%Y-%m-%dT%H" if zone == "UTC" else "%Y-%m-%dT%H%z"
    return Way(lambda: pd.date_range(START, f"{END} 23:00", freq="h", tz=zone).strftime(form))


def pairs_of_the_kit() -> list[str]:
    """List origins and days as keys."""
    partitions = product(date=date_range(START, END), origin=ORIGINS)
    return [partition_key(partition) for partition in partitions]


def pairs_of_dagster() -> Way:
    """List origins and days as keys."""

    def told(key: str) -> str:
        date, origin = key.split("|")
        return f"date={date}/origin={origin}"

    return Way(
        lambda: dagster.MultiPartitionsDefinition(
            {
                "date": dagster.DailyPartitionsDefinition(start_date=START, end_date=AFTER),
                "origin": dagster.StaticPartitionsDefinition(ORIGINS),
            }
        ).get_partition_keys(),
        told,
    )


def pairs_of_pandas() -> pd.Series:
    """List origins and days as keys."""
    index = pd.MultiIndex.from_product([pd.date_range(START, END), ORIGINS], names=["date", "origin"])
    frame = index.to_frame(index=False)
    return "date=" + frame["date"].dt.strftime("%Y-%m-%d") + "/origin=" + frame["origin"]


CASES: dict[str, dict[str, Way]] = {
    **{
        f"the {every}s of ten years{where}": {
            "the kit": Way(lambda every=every, zone=zone: date_range(START, END, every=every, timezone=zone)),
            "Dagster": of_dagster(zone),
            "pandas": of_pandas(zone),
        }
        for every, of_dagster, of_pandas in (
            ("day", days_of_dagster, days_of_pandas),
            ("hour", hours_of_dagster, hours_of_pandas),
        )
        for where, zone in (("", "UTC"), (" in New York", ZONE))
    },
    "three origins × ten years of days": {
        "the kit": Way(pairs_of_the_kit),
        "Dagster": pairs_of_dagster(),
        "pandas": Way(pairs_of_pandas),
    },
}


def timed(make: Callable[[], Any]) -> float:
    """Return the milliseconds of CPU time that a call takes."""
    # What another left is not cleared away at this one's cost, and no key is known from the round before.
    gc.collect()
    keys.text_component.cache_clear()
    start = time.process_time()
    kept = make()
    taken = 1000 * (time.process_time() - start)
    del kept
    return taken


def main() -> None:
    """Print a Markdown table of medians, and of the median of the pairs' ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    versions = f"Dagster {dagster.__version__}, pandas {pd.__version__}, Python {sys.version.split()[0]}"
    print(f"{versions}, CPU time, medians of {options.rounds} rounds\n")
    print("| | partitions | the kit, ms | Dagster, ms | times the kit | pandas, ms | times the kit |")
    print("|---|---|---|---|---|---|---|")
    for title, ways in CASES.items():
        made = {name: sorted(map(way.told, way.make())) for name, way in ways.items()}
        if len({tuple(keys) for keys in made.values()}) != 1:
            raise SystemExit(f"{title}: not all make the same keys")
        rounds = [{name: timed(way.make) for name, way in ways.items()} for _ in range(options.rounds)]
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
