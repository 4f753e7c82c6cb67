"""DAGs in other forms, rewritten as `with DAG(...) as dag:`."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.origins import origin
from airflow_mapping_kit.lint.source import Source, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

_INDENTATION = "    "


def with_a_with(source: Source) -> Source:
    """Return a file whose one DAG is `dag = DAG(...)`, then tasks with `dag=dag` or `with dag:`, with a `with` instead.

    All stays on the line where it is, so that what is said of a line is true of the file. Other files stay as they are.
    """
    made = [one for one in source.tree.body if isinstance(one, ast.Assign) and _is_a_dag(source, one.value)]
    if len(made) != 1 or not isinstance(made[0].targets[0], ast.Name) or len(made[0].targets) != 1:
        return source
    name = made[0].targets[0].id
    start, end = source.span(made[0])
    later = source.tree.body[source.tree.body.index(made[0]) + 1 :]
    if not later or _is_main(later[0]):
        return source
    opened = [one for one in later if isinstance(one, ast.With) and _opens(one, name)]
    # What `with dag:` holds is indented already.
    within = {line for one in opened for line in range(one.lineno + 1, (one.end_lineno or one.lineno) + 1)}
    text = f"with {source.code(made[0].value)} as {name}:{source.text[end:]}"
    # What only runs where the file is a program is left out.
    last = next((one for one in later if _is_main(one)), None)
    text = text if last is None else text[: len(text) - len(source.text) + source.offset(last.lineno, 0)]
    head = source.text[:start] + text
    within |= _within_texts(source)
    after = made[0].end_lineno or made[0].lineno
    lines = [
        f"{_INDENTATION}{line}" if number > after and number not in within and line.strip() else line
        for number, line in enumerate(head.splitlines(keepends=True), 1)
    ]
    for one in opened:
        lines[one.lineno - 1] = "\n"
    try:
        changed = Source(source.path, "".join(lines).encode(source.encoding))
        return _without_dag(changed, name)
    except Unreadable:
        return source


def _is_a_dag(source: Source, node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and origin(source, node.func).rpartition(".")[2] == "DAG"


def _opens(node: ast.With, name: str) -> bool:
    return any(isinstance(one.context_expr, ast.Name) and one.context_expr.id == name for one in node.items)


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and any(
        isinstance(one, ast.Name) and one.id == "__name__" for one in ast.walk(node.test)
    )


def _within_texts(source: Source) -> set[int]:
    """Return the lines that begin within a text of several lines: they have no indentation of their own."""
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if tokenize.tok_name[token.type] in {"STRING", "FSTRING_MIDDLE"}:
            found |= set(range(token.start[0] + 1, token.end[0] + 1))
    return found


def _without_dag(source: Source, name: str) -> Source:
    """Return a file without the arguments that say which DAG a task is of."""
    gone = [
        _with_a_comma(source.text, *source.span(one))
        for one in source.all(ast.keyword)
        if one.arg == "dag" and isinstance(one.value, ast.Name) and one.value.id == name
    ]
    return Source(source.path, _cut(source.text, gone).encode(source.encoding)) if gone else source


def _with_a_comma(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where an argument is, with the comma before it; of the first one with the comma behind it."""
    before = text[:start].rstrip()
    if before.endswith(","):
        return len(before) - 1, end
    behind = re.match(r"\s*,[ ]*", text[end:])
    return start, end + (behind.end() if behind else 0)


def _cut(text: str, parts: Iterable[tuple[int, int]]) -> str:
    for start, end in sorted(parts, reverse=True):
        text = text[:start] + text[end:]
    return text
