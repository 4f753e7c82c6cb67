"""Measure what an item of a batch costs beside its function: `python benchmarks/items.py --items 100000`.

A function that returns `None` is called for each item: by a bare loop, by the ways of the standard library to have
several at once, and by what `@task.batched` uses, with each of the settings that make it do more. All in one
process, one way after another and all of them again, and of each way the least. CPU seconds of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

from airflow_mapping_kit.checkpoints.nowhere import Nowhere
from airflow_mapping_kit.checkpoints.part import Part, Span
from airflow_mapping_kit.checkpoints.progress import Results
from airflow_mapping_kit.operators.batched.attempts import Policy
from airflow_mapping_kit.operators.batched.batch import worked_on
from airflow_mapping_kit.operators.batched.calls import Call

if TYPE_CHECKING:
    from collections.abc import Callable

BARE = "a bare `for` loop"
POLICIES = {
    "": Policy(retries=0, delay=1, timeout=None),
    ", `item_retries=2`": Policy(retries=2, delay=1, timeout=None),
    ", `item_timeout=60`": Policy(retries=0, delay=1, timeout=60),
    ", both": Policy(retries=2, delay=1, timeout=60),
}


def work(_: int) -> None:
    """Do nothing, as a function."""


async def work_async(_: int) -> None:
    """Do nothing, as a coroutine."""


def loop(items: range) -> None:
    """Call the function one by one."""
    for item in items:
        work(item)


def pool(items: range, workers: int) -> None:
    """Have the threads of the standard library call it."""
    with ThreadPoolExecutor(workers) as executor:
        for _ in executor.map(work, items):
            pass


def gathered(items: range, workers: int) -> None:
    """Await it in the event loop, so many at a time, a task an item."""

    async def one(item: int, free: asyncio.Semaphore) -> None:
        async with free:
            await work_async(item)

    async def every() -> None:
        free = asyncio.Semaphore(workers)
        await asyncio.gather(*(one(item, free) for item in items))

    asyncio.run(every())


def batch(items: range, workers: int, policy: Policy, *, in_event_loop: bool) -> None:
    """Do it as an instance of `@task.batched` does: every item with its key, tries and result."""
    function = work_async if in_event_loop else work
    number = len(items)
    # A list that is kept nowhere: what else there is to do for it is not of the item.
    instance = SimpleNamespace(map_index=0, max_tries=0, try_number=1)
    part = Part(Nowhere(), instance, Span(0, number, number), as_list=True, most_bytes=1 << 20)
    results = Results(None, part)
    calls = (Call(str(item), partial(function, item), item) for item in items)
    worked_on(calls, results, concurrency=workers, policy=policy, in_event_loop=in_event_loop)
    assert part.states == {"success": number}


def ways() -> dict[str, tuple[Callable[[range], None], str | None]]:
    """Return the ways by their titles, each with the way that it is compared with."""
    found: dict[str, tuple[Callable[[range], None], str | None]] = {BARE: (loop, None)}
    for workers in (1, 16):
        threads, loops = f"`ThreadPoolExecutor({workers})`", f"`asyncio.gather`, {workers} at a time"
        found[threads] = partial(pool, workers=workers), None
        found[loops] = partial(gathered, workers=workers), None
        for kind, in_event_loop, peer in (("`def`", False, threads), ("`async def`", True, loops)):
            for title, policy in POLICIES.items():
                way = partial(batch, workers=workers, policy=policy, in_event_loop=in_event_loop)
                found[f"`@task.batched`, {kind}, `concurrency={workers}`{title}"] = way, peer
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    items, every = range(options.items), ways()
    least = dict.fromkeys(every, float("inf"))
    for way, _ in every.values():
        way(range(100))  # what is imported and made once
    for _ in range(options.rounds):
        for title, (way, _) in every.items():
            before = time.process_time()
            way(items)
            least[title] = min(least[title], time.process_time() - before)
    print(
        f"| {options.items:,} calls of a function that does nothing | µs of CPU a call | of the library's |\n"
        "|---|---|---|"
    )
    for title, (_, peer) in every.items():
        ratio = "" if peer is None else f"{least[title] / least[peer]:.2f}"
        print(f"| {title} | {1e6 * least[title] / options.items:.1f} | {ratio} |")


if __name__ == "__main__":
    main()
