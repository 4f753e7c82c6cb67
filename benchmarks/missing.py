"""Measure what of 1,000,000 partitions is missing, against a set of tuples in plain Python; and the lake's listing.

Run `python benchmarks/missing.py`. Each measurement is a process of its own, and they take turns. Memory is the peak
above that of the process which has the plan, and before what is there comes.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

YEARS = [f"{year}-{day:03}" for year in range(2000, 2010) for day in range(100)]
SHARDS = list("0123456789")

WAYS = {
    "plain": "a set of tuples, plain Python",
    "partitions": "`without`, what is there as partitions",
    "keys": "`without`, as keys",
    "more": "`without`, and four times as many that nobody wants",
    "lake": "`lake_partitions`, {on_disk:,} on disk",
}


def peak() -> int:
    """Return the most KiB that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def countries(number: int) -> list[str]:
    """Return so many countries, each of which has 10,000 partitions."""
    return [f"country {one}" for one in range(number)]


def there(plan: list[dict[str, Any]], *, others: int = 0) -> Iterator[dict[str, Any]]:
    """Give what is there as a listing does, one after another: 99 % of the plan, and others."""
    missing = set(random.Random(0).sample(range(len(plan)), len(plan) // 100))
    for index, partition in enumerate(plan):
        if index not in missing:
            yield dict(partition)
        for number in range(others):
            yield {**partition, "shard": f"other {number}"}


def on_disk(number: int) -> int:
    """Return how many directories the lake has, with so many countries."""
    return number * 200


def lake(number: int) -> tuple[float, int, int]:
    """Return the CPU seconds of a listing on disk, how many partitions it found, and the peak KiB before it."""
    from airflow_mapping_kit.partitions import partition_key, product
    from airflow_mapping_kit.storage.lake import published

    partitions = product(date=YEARS, country=countries(number))[: on_disk(number)]
    with tempfile.TemporaryDirectory() as folder:
        for partition in partitions:
            place = Path(folder, partition_key(partition))
            place.mkdir(parents=True)
            (place / "data_0.parquet").write_bytes(b"PAR1")
        idle = peak()
        start = time.process_time()
        found = sum(1 for _ in published(folder))
        return time.process_time() - start, found, idle


def measure(name: str, number: int) -> None:
    """Print CPU seconds and peak MiB of one call."""
    from airflow_mapping_kit.partitions import partition_key, product, without

    if name == "lake":
        seconds, found, idle = lake(number)
        expected = on_disk(number)
    else:
        plan = product(date=YEARS, country=countries(number), shard=SHARDS)
        given: Any = there(plan, others=4 if name == "more" else 0)
        if name == "keys":
            given = list(map(partition_key, given))
        idle = peak()
        start = time.process_time()
        if name == "plain":
            have = {(one["date"], one["country"], one["shard"]) for one in given}
            missing = [one for one in plan if (one["date"], one["country"], one["shard"]) not in have]
        else:
            missing = without(plan, given)
        seconds, found, expected = time.process_time() - start, len(missing), len(plan) // 100
    if found != expected:
        raise SystemExit(f"{name} found {found:,}, not {expected:,}")
    mebibytes = (peak() - idle) / 1024
    json.dump([seconds, mebibytes], sys.stdout)


def main() -> None:
    """Print a Markdown table of the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--countries", type=int, default=100, help="each has 10,000 partitions")
    parser.add_argument("--one", choices=list(WAYS), help="one measurement, in this process")
    options = parser.parse_args()
    if options.one:
        measure(options.one, options.countries)
        return
    rounds: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for _ in range(options.rounds):
        for name, measured in rounds.items():
            run = subprocess.run(
                [sys.executable, __file__, "--countries", str(options.countries), "--one", name],
                check=True,
                capture_output=True,
                text=True,
            )
            measured.append(json.loads(run.stdout))
    print(
        f"{options.countries * 10_000:,} partitions, 1 % of them missing, medians of {options.rounds} runs\n"
    )
    print("| | CPU seconds | peak MiB |\n|---|---|---|")
    for name, title in WAYS.items():
        seconds, mebibytes = (statistics.median(column) for column in zip(*rounds[name], strict=True))
        print(f"| {title.format(on_disk=on_disk(options.countries))} | {seconds:.2f} | {mebibytes:.0f} |")


if __name__ == "__main__":
    main()
