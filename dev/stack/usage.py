"""What all processes use that this one started: CPU seconds, and memory by what they are."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a command line holds, and what the process is called.
KINDS = (
    ("postgres", "PostgreSQL"),
    ("task supervisor", "a supervisor"),
    ("airflow supervisor", "a supervisor"),
    ("task runner", "a task"),
    ("worker -- LocalExecutor", "other"),
    # Airflow 3 calls it by the id of the instance.
    ("airflow worker -- ", "a task"),
    ("api-server", "the API server"),
    ("api_server", "the API server"),
    ("scheduler", "the scheduler"),
)
_SECONDS_BETWEEN = 0.2


def cpu_seconds() -> float:
    """Return what all descendants of this process have used, ended ones included."""
    stats = _stats()
    return sum(stats[pid].seconds for pid in _descendants(stats))


@contextmanager
def peaks() -> Iterator[dict[str, int]]:
    """Give the most MiB that a process of each kind took while the block ran: complete when it has ended.

    Of PostgreSQL it is what its processes do not share; of all others the high-water mark that Linux keeps.
    """
    found: dict[str, int] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_SECONDS_BETWEEN):
            for pid in _descendants(_stats()):
                try:
                    line = (
                        Path(f"/proc/{pid}/cmdline")
                        .read_bytes()
                        .replace(b"\0", b" ")
                        .decode(errors="replace")
                    )
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:  # ended meanwhile
                    continue
                kind = next((kind for text, kind in KINDS if text in line), "other")
                field = "RssAnon:" if kind == "PostgreSQL" else "VmHWM:"
                kib = next((int(one.split()[1]) for one in status.splitlines() if one.startswith(field)), 0)
                found[kind] = max(found.get(kind, 0), kib // 1024)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


class _Stat(NamedTuple):
    parent: int
    seconds: float


def _stats() -> dict[int, _Stat]:
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        # Its own, and of its children that have ended and that it has waited for.
        used = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        found[int(entry.name)] = _Stat(int(fields[1]), used)
    return found


def _descendants(stats: dict[int, _Stat]) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    waiting = list(children.get(os.getpid(), []))
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])
