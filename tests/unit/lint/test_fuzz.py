"""Files that nobody wrote: no crash, nothing found outside of the file, and what is mended stays the same program."""

from __future__ import annotations

import ast
import os
import random
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from airflow_mapping_kit.lint import edits
from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.copies import copies_within
from airflow_mapping_kit.lint.lint import of_source
from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.shapes import shape_of, shapes_of_dags
from airflow_mapping_kit.lint.source import Source, Unreadable

HERE = Path(__file__).parent
SEEDS = [path.read_text() for folder in ("eval", "fix") for path in sorted((HERE / folder).glob("*.py"))]
ALL = set(RULES)
STDLIB = Path(sysconfig.get_path("stdlib"))
# More of them, and all of the standard library: LINT_MUTATIONS=100000 pytest tests/unit/lint/test_fuzz.py
MUTATIONS = int(os.environ.get("LINT_MUTATIONS", "3000"))
EVERY = 1 if "LINT_MUTATIONS" in os.environ else 80


def found(source):
    return of_source(source, Settings(), ALL)


def check(text, *, mends=True):
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
    copies_within(source.path, {1: shape_of(source), **shapes_of_dags(source)})
    if not mends:
        return True
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


def test_thousands_of_changed_files_are_looked_at_and_mended():
    chance = random.Random(20261126)
    # To mend takes most of the time.
    parsed = sum(
        check(mutated(chance.choice(SEEDS), chance), mends=number % 4 == 0) for number in range(MUTATIONS)
    )
    assert parsed > MUTATIONS / 10


HEAD = "from airflow import DAG\nfrom airflow.decorators import task\nfrom airflow.operators.bash import BashOperator\n"
TASK = f"{HEAD}@task\ndef work(items):\n    n = 0\n"
ATTEMPT = (
    "    for x in items:\n        try:\n            send(x)\n        except Exception:\n            n += 1\n"
)
READS = "from airflow.providers.amazon.aws.operators.s3 import S3DeleteObjectsOperator, S3ListOperator\n"
ODD = {
    "nested": "airflow = " + "(" * 90 + "1" + ")" * 90,
    "minus": "airflow = " + "-" * 5000 + "1",
    "sum": "airflow = " + "+".join(["x"] * 5000),
    "sum of texts": f"{HEAD}x = " + "+".join(["'x'"] * 800),
    "attributes": "airflow = " + ".a".join(["x"] * 3000),
    "long": "import airflow\n" + "x = y.expand(a=1)\n" * 4000,
    "deep": "import airflow\n"
    + "".join(f"{' ' * depth}if x:\n" for depth in range(95))
    + " " * 95
    + "pass\n",
    "one name": "from airflow.decorators import task\n" + "@task\ndef f(x):\n    f(x)\n" * 3000,
    "calls": "from airflow import DAG\nx = " + "f(" * 80 + ")" * 80,
    "chain": HEAD + " >> ".join(f"BashOperator(task_id='t{at}')" for at in range(800)) + "\n",
    "elif": f"{TASK}    if n == 0: pass\n" + "".join(f"    elif n == {at}: send(n)\n" for at in range(800)),
    "attempts": TASK + ATTEMPT * 1500,
    "attempts that raise": TASK + ATTEMPT * 700 + "    try: pass\n    except ValueError: raise\n" * 700,
    "deletes": READS
    + "".join(
        f"d{at} = S3DeleteObjectsOperator(task_id='d{at}', bucket='b', prefix='p')\n"
        f"S3ListOperator(task_id='l{at}', bucket='b') >> d{at}\n"
        for at in range(400)
    ),
    "functions": "".join(f"def f{at}(x):\n    f{at + 1}(x)\n    f{at + 1}(x)\n" for at in range(500))
    + TASK
    + ATTEMPT.replace("send", "f0"),
    "branches": f"{TASK}@task.branch\ndef b(): return 'work'\n"
    + "".join(f"a{at + 1} = work.expand(items=a{at})\nb() >> a{at}\n" for at in range(600)),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_shapes_take_less_than_a_second(text):
    begun = time.process_time()
    check(text, mends=False)
    # A second, and room for a busy machine: what is quadratic takes a minute.
    assert time.process_time() - begun < 3
    limit = sys.getrecursionlimit()
    check(text)
    assert sys.getrecursionlimit() == limit


def test_the_standard_library_is_looked_at_without_a_finding_of_ours():
    files = [path for path in sorted(STDLIB.rglob("*.py")) if "site-packages" not in path.parts][::EVERY]
    assert len(files) > 8
    for path in files:
        try:
            source = Source(str(path), path.read_bytes())
        except Unreadable:
            continue
        assert {one.rule for one in found(source)} <= {"MAP203"}, path
