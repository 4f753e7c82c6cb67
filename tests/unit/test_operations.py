"""The page for who runs Airflow: the lines of logs that it explains are those that the kit writes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
LINES = re.findall(r"^\| `+(.+?)`+ \|", PAGE[PAGE.index("## What its log lines mean") :], re.MULTILINE)


def text(node):
    """The text of a string or an f-string, with `%s` for what is put in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "%s" for part in node.values)
    return node.value


@pytest.fixture(scope="module")
def written():
    files = (path.read_text() for path in (ROOT / "airflow_mapping_kit").rglob("*.py"))
    return [
        text(node)
        for file in files
        for node in ast.walk(ast.parse(file))
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]


def test_the_page_explains_lines():
    assert len(LINES) > 10


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_the_page_explains_is_one_that_the_kit_writes(line, written):
    assert any(line in one for one in written)
