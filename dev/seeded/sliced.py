"""Runs whose plans and results are kept by reference: slices of a file or of XComs, and summaries of parts."""

from __future__ import annotations

import json
import random
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.partitions import partition_key
from airflow_mapping_kit.plans.planned import key_of
from seeded.rows import Instance, Rows, Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.postgres import Postgres

SLOW = {"type": "HTTPError", "message": "503 Slow Down: SlowDown (reached max retries: 4)"}
GONE = {"type": "FileNotFoundError", "message": "404 Not Found: the object was deleted since it was listed"}
# It goes when the process ends.
_FOLDER = tempfile.TemporaryDirectory(prefix="mapping-kit-seeded-")
# What `[mapping_kit] storage` is to be, so that what a killed instance left is found.
STORAGE = _FOLDER.name
_CHUNK, _PLAN = 2_000, "0a1b2c3d4e5f"


def keys(number: int) -> Iterator[str]:
    """Yield so many keys of objects."""
    return (f"landing/2013/{at // 1000:05}/part-{at:08}.parquet" for at in range(number))


def sliced(
    postgres: Postgres, dag_id: str, *, items: int, batch: int, runs: int = 1, in_files: bool = True
) -> None:
    """Write runs of so many items in batches by reference.

    One batch in ten has twenty items that failed, by two errors; the second of a run has skipped three and succeeded,
    and its last was killed.

    :param in_files: whether items are in a file; else they are XComs of the generator.
    """
    rows = Rows(postgres)
    for number in range(runs):
        began = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=runs - number, hours=3)
        run = rows.run(dag_id, f"manual__{number:03}", began=began, state="failed", seconds=5400)
        folder = Path(_FOLDER.name, dag_id, run.run_id)
        folder.mkdir(parents=True)
        where, marks = _plan_file(folder, items, batch) if in_files else (f"xcom:landed/{_PLAN}", [])
        made = list(keys(items))
        plan = []
        for index, first in enumerate(range(0, items, batch)):
            count = min(batch, items - first)
            start, end = marks[index] if in_files else (first // _CHUNK, (first + count - 1) // _CHUNK + 1)
            ends = [made[first], made[first + count - 1]]
            plan.append({"mapping_kit_items": [where, start, end, first, count, items, ends]})
        rows.task(run, "landed", state="success", returned=plan, length=len(plan))
        if not in_files:
            _chunks(rows, run, made)
        rng = random.Random(number)
        instances = [
            _instance(folder / "load", index, one, made[first : first + batch], first, items, rng)
            for index, (first, one) in enumerate(zip(range(0, items, batch), plan, strict=True))
        ]
        rows.mapped(run, "load", instances)
        rows.task(run, "collect_load", state="failed", after=5300)
        if not number:
            postgres.query("ANALYZE")


def _plan_file(folder: Path, items: int, batch: int) -> tuple[str, list[tuple[int, int]]]:
    path = folder / "plan.jsonl"
    marks, start, position = [], 0, 0
    with path.open("wb") as file:
        for at, key in enumerate(keys(items), 1):
            position += file.write(json.dumps(key).encode() + b"\n")
            if at % batch == 0 or at == items:
                marks.append((start, position))
                start = position
    return path.as_uri(), marks


def _chunks(rows: Rows, run: Run, made: list[str]) -> None:
    for number, first in enumerate(range(0, len(made), _CHUNK)):
        chunk = {"first": first, "lines": "\n".join(map(json.dumps, made[first : first + _CHUNK]))}
        rows.pushed(run, "landed", f"mapping_kit_plan/{_PLAN}/{number}", chunk)


def _instance(
    folder: Path,
    index: int,
    batch: dict[str, Any],
    made: list[str],
    first: int,
    total: int,
    rng: random.Random,
) -> Instance:
    last = first + len(made)
    killed = last == total
    bad = set() if killed or index % 10 else set(rng.sample(range(len(made)), min(20, len(made) // 2)))
    skipped = set(range(3)) if index == 1 else set()
    results = []
    for at, key in enumerate(made):
        state = "failed" if at in bad else "skipped" if at in skipped else "success"
        error = None if at not in bad else SLOW if at % 3 else GONE
        results.append(
            {
                "item": first + at,
                "key": partition_key({"key": key}),
                "state": state,
                "value": None,
                "error": error,
                "tries": 1,
                "duration_s": 0.2,
            }
        )
    label = f"items {first + 1:,}–{last:,} of {total:,}: {made[0]} … {made[-1]}"
    record: dict[str, Any] = {"key": key_of({"key": batch}), "label": label, "try_number": 1}
    folder /= f"{index}.0"
    if killed:
        record["error"] = {"type": None, "message": "no exception recorded"}
        _written(folder / "1a2b3c4d-000000.jsonl", results[: len(made) // 2])
        return Instance("failed", label, 1, 3 + index * 2, 20, record)
    if bad:
        record["error"] = {
            "type": "AirflowFailException",
            "message": f"{len(bad)} of {len(made):,} items have failed",
        }
    path, failed = folder / "1a2b3c4d.jsonl", [row for row in results if row["state"] == "failed"]
    size = _written(path, results)
    if failed:
        _written(folder / "1a2b3c4d.failed.jsonl", failed)
    states = {
        state: number
        for state in ("success", "failed", "skipped")
        if (number := sum(row["state"] == state for row in results))
    }
    errors: dict[str, int] = {}
    for row in failed:
        text = f"{row['error']['type']}: {row['error']['message']}"
        errors[text] = errors.get(text, 0) + 1
    summary = {
        "where": path.as_uri(),
        "task_id": "load",
        "map_index": index,
        "max_tries": 0,
        "first": first,
        "count": len(made),
        "total": total,
        "bytes": size,
        "states": states,
        "errors": sorted(([*one] for one in errors.items()), key=lambda one: -one[1]),
        "failed": [row["key"] for row in failed][:20],
        "failed_in": (folder / "1a2b3c4d.failed.jsonl").as_uri() if failed else None,
    }
    return Instance(
        "failed" if bad else "success",
        label,
        1,
        3 + index * 2,
        20,
        record,
        returned={"mapping_kit_part": summary},
    )


def _written(path: Path, rows: list[dict[str, Any]]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in rows)
    return path.write_bytes(text.encode())


def sliced_100000(postgres: Postgres) -> None:
    """Write two runs of 100,000 items, in batches of a thousand in files."""
    sliced(postgres, "sliced_100000", items=100_000, batch=1_000, runs=2)


def sliced_in_xcoms(postgres: Postgres) -> None:
    """Write one run of 100,000 items among the XComs of the generator."""
    sliced(postgres, "sliced_in_xcoms", items=100_000, batch=1_000, in_files=False)


def sliced_1000000(postgres: Postgres) -> None:
    """Write two runs of a million items, in batches of a thousand in files."""
    sliced(postgres, "sliced_1000000", items=1_000_000, batch=1_000, runs=2)
