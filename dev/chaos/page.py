"""The tables of the page: what the results of all runs so far add up to."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

from chaos.experiment import EXPERIMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

HEADING = (
    "| what happens | to | runs | right | tries lost | lost | doubled | done again, as stated | seconds to the end |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)
# How each group of experiments is called in the page's markers.
GROUPS = {
    "workers": ("short", "workers-", "batches-", "two-owners", "triggerer-killed", "starter-killed"),
    "stores": ("s3-", "snowflake-"),
    "tables": ("staging-", "publish-", "catalog-"),
    "database": ("database-", "small-pools", "two-schedulers"),
    "people": ("timed-out", "marked-", "cleared", "generator-", "paused", "two-retries", "late-answer"),
    "three": ("api-", "scheduler-restarted", "processor-", "triggerer-restarted"),
}
LOAD = (
    "connections at peak",
    "connections, mean",
    "lock waits over 1 s",
    "deadlocks",
    "sightings without a label",
    "CPU s",
)


def write(results: Path, page: Path) -> None:
    """Write the tables of all results into their places in a page."""
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    text = page.read_text()
    for name, prefixes in GROUPS.items():
        found = [row for row in rows if row["experiment"].startswith(prefixes)]
        text = _placed(text, name, _table(found))
    text = _placed(
        text, "load", _load([row for row in rows if row["experiment"] in ("load", "two-schedulers")])
    )
    not_run = [one for name, one in EXPERIMENTS.items() if name not in {row["experiment"] for row in rows}]
    listed = "\n".join(f"- `{one.name}`: {one.said}" for one in not_run if one.name != "short")
    text = _placed(text, "not run", listed or "Every experiment was run.")
    page.write_text(text)


def _placed(text: str, name: str, content: str) -> str:
    place = re.compile(rf"(<!-- measured: {name} -->\n).*?(\n<!-- until here -->)", re.DOTALL)
    return place.sub(lambda found: f"{found[1]}{content}{found[2]}", text)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "Not run yet."
    by_work: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_work[row["experiment"], row.get("work", "it broke off")].append(row)
    lines = []
    before = ""
    for (name, work), found in by_work.items():
        said = EXPERIMENTS[name].said if name in EXPERIMENTS else name
        cells = [
            "" if name == before else f"{said} (`{name}`)",
            work,
            str(len(found)),
            str(sum(row["right"] for row in found)),
            _sum(found, "hit"),
            str(sum(len(row.get("lost", ())) for row in found)),
            str(sum(len(row.get("doubled", ())) for row in found)),
            _sum(found, "repeated"),
            _seconds(found),
        ]
        lines.append(f"| {' | '.join(cells)} |")
        before = name
    wrong = Counter(
        f"`{row['experiment']}`, {row.get('work', 'broke off')}: {row.get('verdict', 'it broke off')}"
        for row in rows
        if not row["right"]
    )
    listed = [f"- {said}" for said in wrong]
    return (
        HEADING
        + "\n".join(lines)
        + ("\n\nNot right:\n\n" + "\n".join(listed) if listed else "")
        + _when(rows)
    )


def _load(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "Not run yet."
    by_work: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_work[row.get("work", "it broke off")].append(row.get("told", {}))
    heading = f"| | runs | {' | '.join(LOAD)} | longest idle transaction, s |\n|{'---|' * (len(LOAD) + 3)}\n"
    lines = [
        f"| {work} | {len(found)} | {' | '.join(_spread(told.get(name) for told in found) for name in LOAD)} "
        f"| {_spread(max(told.get('longest idle transaction, s', {}).values(), default=0) for told in found)} |"
        for work, found in by_work.items()
    ]
    return heading + "\n".join(lines) + _when(rows)


def _spread(values: Iterable[float | None]) -> str:
    """Return the least and the most of some figures."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return ""
    return f"{known[0]:g}" if known[0] == known[-1] else f"{known[0]:g} to {known[-1]:g}"


def _sum(rows: Sequence[dict[str, Any]], name: str) -> str:
    return f"{sum(row.get(name, 0) for row in rows):,}"


def _seconds(rows: Sequence[dict[str, Any]]) -> str:
    # Where the fault is there for the whole run, it is over only with that.
    known = [row["seconds"] for row in rows if row.get("seconds")]
    return f"{median(known):.0f}, {max(known):.0f}" if known else ""


def _when(rows: Sequence[dict[str, Any]]) -> str:
    versions = ", ".join(sorted({row["airflow"] for row in rows}))
    days = sorted({row["at"][:10] for row in rows})
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"\n\nAirflow {versions}, {when}, seeds {seeds}."
