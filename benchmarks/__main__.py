"""All benchmarks as one suite: `python benchmarks [part ...]`, or `make bench`.

Each part prints tables, which replace those in `docs/benchmarks.md`; the prose around them stays. A part that
needs what is not here says so and leaves its tables as they are.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent
AIRFLOW_3 = not version("apache-airflow").startswith("2.")
PAGE = PROJECT / "docs" / "benchmarks.md"
PLOT = PROJECT / "docs" / "images" / "ways.svg"

# What a small run measures: enough to show that every part still works.
SMALL = {
    "scale": ["--items", "40", "--instances", "2", "--bytes", "10"],
    "ways": ["--items", "4", "--waits", "0", "0.01", "--sizes", "2"],
    "items": ["--items", "200", "--rounds", "1"],
    "instances": ["--instances", "4", "--rounds", "1"],
    "early_labels": ["--pieces", "4", "--rounds", "1"],
    "redrive": ["--items", "6", "--size", "2", "--failed", "3"],
    "collect": ["--pieces", "20", "--rounds", "2"],
    "generation": ["--rounds", "1"],
    "partitions": ["--rounds", "1"],
    "missing": ["--rounds", "1", "--countries", "2"],
    "parsing": ["--rounds", "1"],
    "page": ["--rounds", "1", "--shapes", "even_1095"],
    "lint": ["--files", "20", "--rounds", "1"],
    "tables": ["--days", "3", "--writers", "3", "--seconds", "10", "--look-every", "0.5"],
}
# What Airflow 3 measures of a part, beside Airflow 2.
ON_3 = {
    "ways": ["--items", "100", "--waits", "0", "--sizes", "50"],
    "scale": ["--where", "storage"],
}
PARTS = (
    "ways",
    "scale",
    "items",
    "instances",
    "generation",
    "partitions",
    "missing",
    "parsing",
    "collect",
    "early_labels",
    "redrive",
    "page",
    "lint",
    "tables",
    "s3_list",
    "s3_move",
)


def tables(part: str, *, small: bool, peers: Path | None, figures: Path) -> str | None:
    """Run one part and return what it printed; `None` if what it needs is not here."""
    python, script = sys.executable, part
    arguments = (SMALL if small else ON_3 if AIRFLOW_3 else {}).get(part, [])
    if part == "generation":
        if peers is None:
            return None
        python = str(peers)
    if part.startswith("s3_"):
        if os.getuid() != 0 or shutil.which("radosgw") is None:
            return None
        script, arguments = "s3", [part.removeprefix("s3_"), "--server", "gateway"]
    if part == "ways":
        arguments = [*arguments, "--json", str(figures)]
    command = [python, str(HERE / f"{script}.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed, _ = process.communicate()
        except BaseException:
            # It ends what it has started itself.
            process.terminate()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return printed.strip()


def machine() -> str:
    """Return what the figures were measured on."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    kib = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return (
        f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), "
        f"{int(kib[1]) // 2**20 if kib else '?'} GiB of memory, {system}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, Airflow {version('apache-airflow')}"
    )


def replaced(page: str, part: str, measured: str) -> str:
    """Return the page with what was measured in its place."""
    place = re.compile(rf"(<!-- measured: {part} -->\n).*?(\n<!-- until here -->)", re.DOTALL)
    found, count = place.subn(lambda match: match[1] + measured + match[2], page)
    if count != 1:
        raise SystemExit(f"docs/benchmarks.md has {count} places for {part}, not one")
    return found


def main() -> None:
    """Run the parts that were asked for, by default all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of {', '.join(PARTS)}; default: all")
    parser.add_argument("--small", action="store_true", help="few items: to see that it works")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page with the tables")
    parser.add_argument("--plot", type=Path, default=PLOT, help="where the plot goes")
    parser.add_argument("--peers", type=Path, help="a Python that has Dagster, pandas and matplotlib")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder, "ways.json")
        for part in options.parts or PARTS:
            print(f"-- {part}", flush=True)
            measured = tables(part, small=options.small, peers=options.peers, figures=figures)
            if measured is None:
                print("left as it is: what it needs is not here")
                continue
            print(measured, flush=True)
            page = options.page.read_text()
            # What Airflow 3 has another table for stands beside that of Airflow 2.
            beside = f"{part} on Airflow 3"
            on_3 = AIRFLOW_3 and f"<!-- measured: {beside} -->" in page
            options.page.write_text(replaced(page, beside if on_3 else part, measured))
        if AIRFLOW_3:
            # The plot, and where most was measured, are those of Airflow 2.
            return
        options.page.write_text(replaced(options.page.read_text(), "machine", machine()))
        if figures.exists() and options.peers:
            subprocess.run([options.peers, HERE / "plot.py", figures, options.plot], check=True)


if __name__ == "__main__":
    main()
