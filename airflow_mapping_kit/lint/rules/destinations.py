"""Where mapped copies write to: MAP106."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.loops import reads
from airflow_mapping_kit.lint.operators import constant
from airflow_mapping_kit.lint.origins import defined, value_of
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.operators import Mapped
    from airflow_mapping_kit.lint.project import File

_SOURCE = re.compile(
    r"(source|src|remote|local|from)_?\w*|\w*_(source|src|key|path|file|filename)\b|filename|sql|endpoint"
)
# Where an operator puts what it copies or writes.
_DESTINATION = re.compile(
    r"(dest|dst|destination|target)_\w*(key|object|path|file|filename|blob|blob_name)|s3_key|dest_key"
)
# Some name a folder by it as well.
_FILE_OR_FOLDER = frozenset({"dst", "dest", "destination"})


def one_destination(file: File) -> Iterator[Finding]:
    """Yield mapped copies that all write to the same place."""
    for one in file.mapped:
        if not one.name[:1].isupper():
            continue
        found = _of_sets(file, one) if one.sets is not None else _of_arguments(file, one)
        for source, name, value in found:
            text = constant(value)
            place = f"{name}={text!r}" if isinstance(text, str) else name
            yield file.finding(
                "MAP106",
                value,
                f"All instances of {one.name} write to {place}: only the copy of the last {source} remains"
                if isinstance(text, str)
                else f"All instances of {one.name} write to the same {place}: only the copy of the last {source} "
                "remains",
                f"Map over {name}, too: expand_kwargs([{{{source!r}: ..., {name!r}: ...}}, ...])",
                severity="error",
                related=[file.related(one.call, "the mapped task")],
            )


def _of_arguments(file: File, one: Mapped) -> Iterator[tuple[str, str, ast.expr]]:
    """Yield the source that varies, the name of the destination that doesn't, and its value."""
    varying = [each for each in one.over if _SOURCE.fullmatch(each)]
    if not varying or any(_DESTINATION.fullmatch(each) for each in one.over):
        return
    for name, value in one.fixed.items():
        if name not in _FILE_OR_FOLDER and not _DESTINATION.fullmatch(name):
            continue
        text, is_written = _text(file, value)
        # A folder, or a template that may tell them apart, is no one place.
        is_file = "." in text.rpartition("/")[2]
        if _is_a_place(text) and (is_file or (is_written and name not in _FILE_OR_FOLDER)):
            yield varying[0], name, value


def _text(file: File, node: ast.AST) -> tuple[str, bool]:
    """Return what is written of a value, and whether that is all of it: of an f-string also words of what is put in.

    It is the same for all instances, whatever is put in: that is done while the file is parsed.
    """
    value = value_of(file.source, node)
    text = constant(value)
    if isinstance(text, str):
        return text, True
    words = []
    for part in value.values if isinstance(value, ast.JoinedStr) else ():
        inside = value_of(file.source, part.value) if isinstance(part, ast.FormattedValue) else part
        found = [constant(one) for one in ast.walk(inside)] if inside is not None else []
        words.append("".join(one for one in found if isinstance(one, str)) or "?")
    return "".join(words), False


def _is_a_place(text: str) -> bool:
    return bool(text) and "{{" not in text and not text.endswith("/")


def _of_sets(file: File, one: Mapped) -> Iterator[tuple[str, str, ast.expr]]:
    """Yield the same of dicts that a function makes of each item: `keys.map(pair)`, or of a comprehension."""
    for made, names in _dicts(file, one.sets):
        given = {
            key.value: value
            for key, value in zip(made.keys, made.values, strict=True)
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
        source = next(
            (key for key, value in given.items() if _SOURCE.fullmatch(key) and reads(value, names)), None
        )
        for key, value in given.items():
            text = constant(value)
            if source is None or not _DESTINATION.fullmatch(key) or reads(value, names):
                continue
            if isinstance(value, ast.JoinedStr) or (isinstance(text, str) and _is_a_place(text)):
                yield source, key, value


def _dicts(file: File, node: ast.expr | None) -> Iterator[tuple[ast.Dict, set[str]]]:
    """Yield the dicts that sets of arguments are, and the names that hold the item where each is made."""
    value = value_of(file.source, node)
    if isinstance(value, ast.ListComp) and isinstance(value.elt, ast.Dict):
        yield (
            value.elt,
            {
                one.id
                for over in value.generators
                for one in ast.walk(over.target)
                if isinstance(one, ast.Name)
            },
        )
    if not (isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "map" and value.args):
        return
    function = value.args[0] if isinstance(value.args[0], ast.Lambda) else defined(file.source, value.args[0])
    if isinstance(function, ast.Lambda) and isinstance(function.body, ast.Dict):
        yield function.body, {one.arg for one in function.args.args}
    elif isinstance(function, ast.FunctionDef):
        # What is made of the item holds it, too.
        names = {one.arg for one in function.args.args}
        for line in function.body:
            if isinstance(line, ast.Assign) and reads(line.value, names):
                names |= {
                    one.id for target in line.targets for one in ast.walk(target) if isinstance(one, ast.Name)
                }
        for one in ast.walk(function):
            if isinstance(one, ast.Return) and isinstance(one.value, ast.Dict):
                yield one.value, names


RULES = (
    Rule(
        "MAP106",
        "one-destination",
        "All instances of a mapped copy write to the same place.",
        "error",
        one_destination,
    ),
)
