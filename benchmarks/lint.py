"""What the lint takes for 1,000 DAG files of 150 lines, copies included: `python benchmarks/lint.py`.

The files are put together from statements of real ones, this project's and Airflow's own examples: no two are alike but
one in six, which is a copy of another with other values, as many as public DAG files have. Each measurement is a
process of its own with the standard library alone, `python -S -m airflow_mapping_kit.lint`.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import airflow_mapping_kit

ROOT = Path(__file__).parents[1]
LINES = 150
# Half a statement: so that files are of 150 lines on the average.
MIDDLE = 24
COPIED = 6


def statements() -> tuple[list[str], list[str]]:
    """Return the imports, and the other statements, of real DAG files."""
    airflow = find_spec("airflow")
    folders = [ROOT / "dags", Path(str(airflow.origin)).parent / "example_dags" if airflow else ROOT / "dags"]
    imports, others = set(), set()
    for path in sorted(one for folder in folders for one in folder.rglob("*.py")):
        text = path.read_text()
        for node in ast.parse(text).body:
            code = ast.get_source_segment(text, node) or ""
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports.add(code)
            elif isinstance(node, ast.With | ast.FunctionDef | ast.ClassDef) and code.count("\n") < LINES:
                decorators = [
                    ast.get_source_segment(text, one) for one in getattr(node, "decorator_list", ())
                ]
                others.add("".join(f"@{one}\n" for one in decorators) + code)
    return sorted(imports), sorted(others)


def write(folder: Path, number: int) -> int:
    """Write DAG files and return how many lines they have."""
    chance = random.Random(20261126)
    imports, others = statements()
    future = "from __future__ import annotations"
    lines, texts = 0, []
    for at in range(number):
        if texts and at % COPIED == 0:
            text = re.sub(r'"([a-z_]+)"', lambda found, at=at: f'"{found[1]}{at}"', chance.choice(texts))
        else:
            parts = [future, *(one for one in chance.sample(imports, 12) if one != future)]
            while sum(part.count("\n") + 3 for part in parts) < LINES - MIDDLE:
                parts.append(chance.choice(others))
            text = "\n\n\n".join(parts) + "\n"
            texts.append(text)
        lines += text.count("\n")
        path = folder / f"part{at % 20}" / f"dag{at}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return lines


def run(folder: Path, packages: Path) -> tuple[float, float, str]:
    """Return the CPU seconds of the lint, the most MiB it had, and what it says it found."""
    command = [sys.executable, "-S", "-m", "airflow_mapping_kit.lint", str(folder), "--statistics"]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(packages)}, stdout=subprocess.DEVNULL, stderr=said
        )
        # What it used, and none of the others before it.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().strip()
    if process.returncode > 1:
        raise SystemExit(text)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"| DAG files | lines | CPU s, median of {options.rounds} | MiB at most | |")
    print("|---|---|---|---|---|")
    for number in (options.files // 4, options.files):
        with tempfile.TemporaryDirectory() as name:
            dags, packages = Path(name, "dags"), Path(name, "packages")
            dags.mkdir()
            packages.mkdir()
            (packages / "airflow_mapping_kit").symlink_to(Path(airflow_mapping_kit.__file__).parent)
            lines = write(dags, number)
            runs = [run(dags, packages) for _ in range(options.rounds)]
        seconds = statistics.median(one[0] for one in runs)
        memory = statistics.median(one[1] for one in runs)
        print(f"| {number:,} | {lines:,} | {seconds:.1f} | {memory:.0f} | {runs[0][2]} |")


if __name__ == "__main__":
    main()
