"""`make chaos`: run the campaign or a part of it, and write what was seen into the page."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from pathlib import Path

from chaos import campaign
from chaos.page import write

PROJECT = Path(__file__).resolve().parents[2]
BUILD = PROJECT / "build" / "chaos"


def main() -> int:
    """Run what the arguments say; return 1 if anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("parts", nargs="*", help="experiments or groups; by default all")
    parser.add_argument("--runs", type=int, default=5, help="how often each, by default 5")
    parser.add_argument(
        "--seed", type=int, default=None, help="what all choices follow from, by default a new one"
    )
    parser.add_argument("--folder", type=Path, default=BUILD, help="where the cluster has its files")
    parser.add_argument(
        "--results", type=Path, default=BUILD / "results.jsonl", help="a line for all that was seen"
    )
    parser.add_argument("--page", type=Path, help="a page whose tables are made anew of all results so far")
    arguments = parser.parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed  # noqa: S311 - no secret
    # So that everything is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    right = True
    if arguments.runs:
        print(f"The seed is {seed}: with --seed {seed} all choices are the same again.", flush=True)
        right = campaign.run(
            arguments.parts,
            runs=arguments.runs,
            seed=seed,
            folder=arguments.folder,
            results=arguments.results,
        )
    if arguments.page:
        write(arguments.results, arguments.page)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
