"""Measure a product of 1,000,000 partitions against plain itertools.product building the same dicts.

Run `python benchmarks/partitions.py`. Each measurement is a process of its own; the two take turns, so that
a machine that slows down slows both. Memory is the peak above that of the process before the call.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time

DIMENSIONS = {
    "date": [f"{year}-{day:03}" for year in range(2000, 2010) for day in range(100)],
    "country": [f"country {number}" for number in range(100)],
    "shard": list(range(10)),
}


def plain() -> list[dict[str, object]]:
    """Build the partitions as one would without the kit."""
    names = list(DIMENSIONS)
    return [dict(zip(names, combination)) for combination in itertools.product(*DIMENSIONS.values())]  # noqa: B905 - the plain way


def kit() -> list[dict[str, object]]:
    """Build the partitions with the kit."""
    from airflow_mapping_kit.partitions import product

    return product(**DIMENSIONS)


def measure(name: str) -> None:
    """Print seconds and peak MiB of one call."""
    from airflow_mapping_kit import (
        partitions,  # noqa: F401 - imported on both sides, so that neither pays for it
    )

    idle_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    partitions_made = {"plain": plain, "kit": kit}[name]()
    seconds = time.perf_counter() - start
    mebibytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle_kib) / 1024
    if len(partitions_made) != 1_000_000:
        raise SystemExit(f"{name} made {len(partitions_made):,} partitions, not 1,000,000")
    json.dump([seconds, mebibytes], sys.stdout)


def main() -> None:
    """Print a Markdown table of the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--one", choices=["plain", "kit"], help="one measurement, in this process")
    options = parser.parse_args()
    if options.one:
        measure(options.one)
        return
    rounds: dict[str, list[list[float]]] = {"plain": [], "kit": []}
    for _ in range(options.rounds):
        for name, measured in rounds.items():
            run = subprocess.run(
                [sys.executable, __file__, "--one", name], check=True, capture_output=True, text=True
            )
            measured.append(json.loads(run.stdout))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in rounds.items()
    }
    ratios = [
        statistics.median(ours / theirs for ours, theirs in zip(*columns, strict=True))
        for columns in zip(*(zip(*rounds[name], strict=True) for name in ("kit", "plain")), strict=True)
    ]
    print(f"1,000,000 partitions, Python {sys.version.split()[0]}, medians of {options.rounds} paired runs\n")
    print("| | seconds | peak MiB |\n|---|---|---|")
    for title, (seconds, mebibytes) in (
        ("itertools.product", medians["plain"]),
        ("partitions.product", medians["kit"]),
    ):
        print(f"| {title} | {seconds:.3f} | {mebibytes:.0f} |")
    print(f"| ratio, median of the pairs | {ratios[0]:.2f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
