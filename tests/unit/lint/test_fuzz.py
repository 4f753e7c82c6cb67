"""Files that nobody wrote: no crash, nothing found outside of the file, and what is mended stays the same program."""

from __future__ import annotations

import ast
import random
import sysconfig
import time
from pathlib import Path

import pytest

from airflow_mapping_kit.lint import edits
from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.lint import of_source
from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.source import Source, Unreadable

HERE = Path(__file__).parent
SEEDS = [path.read_text() for folder in ("eval", "fix") for path in sorted((HERE / folder).glob("*.py"))]
ALL = set(RULES)
STDLIB = Path(sysconfig.get_path("stdlib"))


def found(source):
    return of_source(source, Settings(), ALL)


def check(text):
    """Look at a file, and mend it."""
    try:
        source = Source("fuzz.py", text.encode("utf-8", "surrogatepass"))
    except Unreadable:
        return False
    findings = found(source)
    for one in findings:
        for place in (one.place, *(other.place for other in one.related)):
            assert 1 <= place.line <= place.end_line <= len(source.lines)
            assert 0 <= place.column <= len(source.lines[place.line - 1])
            assert place.end_column <= len(source.lines[place.end_line - 1])
    mended, done = edits.fixed(source, sorted({one.rule for one in findings if one.fix}), found)
    if done:
        # Every import and every label that was added, taken out again, leaves the tree that it was.
        assert len(found(mended)) <= len(findings) - len(done)
        ast.parse(mended.text)
    return True


def mutated(text, chance):
    """Return a file with statements taken out, swapped, doubled or nested, or with characters changed."""
    lines = text.split("\n")
    for _ in range(chance.randint(1, 6)):
        at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        how = chance.randrange(7)
        if how == 0:
            del lines[at]
        elif how == 1:
            lines[at], lines[other] = lines[other], lines[at]
        elif how == 2:
            lines.insert(other, lines[at])
        elif how == 3:
            lines[at : at + 3] = [f"    {line}" for line in lines[at : at + 3]]
        elif how == 4:
            lines[at] = lines[at].replace(
                chance.choice('("=,.'), chance.choice(["", "((", "ü", "*", "\t", "\f"]), 1
            )
        elif how == 5:
            lines.insert(
                at,
                chance.choice(
                    [
                        "global x",
                        "nonlocal x",
                        "if True:",
                        "try:",
                        "class A:",
                        "async def f():",
                        "del x",
                        "lambda: (yield)",
                        "match x:",
                        "from a import *",
                    ]
                ),
            )
        else:
            lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        if not lines:
            return ""
    return "\n".join(lines)


def test_a_thousand_changed_files_are_looked_at_and_mended():
    chance = random.Random(20261126)
    parsed = sum(check(mutated(chance.choice(SEEDS), chance)) for _ in range(1000))
    assert parsed > 100


@pytest.mark.parametrize(
    "text",
    [
        "airflow = " + "(" * 90 + "1" + ")" * 90,
        "airflow = " + "-" * 5000 + "1",
        "airflow = " + "+".join(["x"] * 5000),
        "airflow = " + ".a".join(["x"] * 3000),
        "import airflow\n" + "x = y.expand(a=1)\n" * 10_000,
        "import airflow\n" + "".join(f"{' ' * depth}if x:\n" for depth in range(95)) + " " * 95 + "pass\n",
        "from airflow.decorators import task\n" + "@task\ndef f(x):\n    f(x)\n" * 3000,
        "from airflow import DAG\nx = " + "f(" * 80 + ")" * 80,
    ],
    ids=["nested", "minus", "sum", "attributes", "long", "deep", "one name", "calls"],
)
def test_odd_shapes_take_less_than_a_second(text):
    begun = time.process_time()
    check(text)
    assert (
        time.process_time() - begun < 3
    )  # a second, and room for a busy machine: what is quadratic takes a minute


def test_the_standard_library_is_looked_at_without_a_finding_of_ours():
    files = [path for path in sorted(STDLIB.rglob("*.py")) if "site-packages" not in path.parts][::80]
    assert len(files) > 8
    for path in files:
        try:
            source = Source(str(path), path.read_bytes())
        except Unreadable:
            continue
        assert {one.rule for one in found(source)} <= {"MAP203"}, path
