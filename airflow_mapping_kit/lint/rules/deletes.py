"""Deletes of more than was looked at: MAP301."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.operators import constant, names_in
from airflow_mapping_kit.lint.origins import value_of
from airflow_mapping_kit.lint.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File


# What reads or copies what a later delete takes away.
_READS = re.compile(
    r"S3(List|Copy|FileTransform)\w*Operator|(S3To|CopyFromExternalStageToSnowflake)\w*Operator"
)
_CALLS = frozenset({"list_keys", "copy_object", "get_file_metadata"})
_DELETES = "S3DeleteObjectsOperator"
_OF_THE_RUN = re.compile(r"\{\{[^}]*\b(run_id|ts_nodash|ts)\b")


def delete_by_prefix(file: File) -> Iterator[Finding]:
    """Yield deletes of all that is under a prefix of S3, in a DAG that lists or copies: what came between is lost."""
    if file.is_test:
        return
    read = [one.call for one in file.made if _READS.fullmatch(one.name)]
    read += [one.call for one in file.mapped if _READS.fullmatch(one.name)]
    lists = any(getattr(call.func, "attr", "") in _CALLS for call in file.source.all(ast.Call))
    if not read and not lists:
        return
    deletes = [(one.call, one.given) for one in file.made if one.name == _DELETES]
    deletes += [(one.call, {**one.fixed, **one.over}) for one in file.mapped if one.name == _DELETES]
    for call, given in deletes:
        if "prefix" not in given or "keys" in given or _is_of_the_run(file, given["prefix"]):
            continue
        if _comes_first(file, call, read):
            continue
        prefix = constant(given["prefix"])
        shown = f"prefix={prefix!r}" if isinstance(prefix, str) else "a prefix"
        yield file.finding(
            "MAP301",
            call,
            f"All that is under {shown} is deleted, also what came since it was listed or copied: that is lost",
            "Delete the keys that were listed: S3DeleteObjectsOperator(keys=...), or move each after a check, "
            "S3MoveKeysOperator.partial(...).expand(keys=s3_keys(bucket, prefix))",
            related=[file.related(one, "what is listed or copied") for one in read[:3]],
        )


def _is_of_the_run(file: File, prefix: ast.expr) -> bool:
    """Tell whether nobody but the run itself puts something under a prefix."""
    value = value_of(file.source, prefix)
    texts = (
        (one.value for one in ast.walk(value) if isinstance(one, ast.Constant)) if value is not None else ()
    )
    return any(isinstance(text, str) and _OF_THE_RUN.search(text) for text in texts)


def _comes_first(file: File, call: ast.Call, read: list[ast.Call]) -> bool:
    """Tell whether a delete clears the place before anything is read: by `>>`, else by where it stands."""
    names = {one: {one, _name(file, one)} for one in [call, *read]}
    for chain in _chains(file):
        mine = [at for at, part in enumerate(chain) if names[call] & part]
        others = [at for at, part in enumerate(chain) if any(names[one] & part for one in read)]
        if mine and others:
            return mine[0] < min(others)
        if mine:
            return len(chain) > 1 and mine[0] == 0
    return bool(read) and all(call.lineno < one.lineno for one in read)


def _chains(file: File) -> Iterator[list[set[ast.AST | str]]]:
    """Yield what `a >> [b, c] >> d` and `chain(a, b)` put one after another: names and calls, in order."""
    for binary in file.source.all(ast.BinOp):
        if isinstance(binary.op, ast.RShift) and not isinstance(file.source.parents[binary], ast.BinOp):
            parts: list[ast.expr] = [binary]
            while isinstance(parts[0], ast.BinOp):
                parts[:1] = [parts[0].left, parts[0].right]
            yield [_parts(one) for one in parts]
    for call in file.source.all(ast.Call):
        if getattr(call.func, "id", getattr(call.func, "attr", "")) == "chain":
            yield [_parts(one) for one in call.args]


def _parts(node: ast.expr) -> set[ast.AST | str]:
    calls: set[ast.AST | str] = {one for one in ast.walk(node) if isinstance(one, ast.Call)}
    return calls | names_in(node)


def _name(file: File, call: ast.Call) -> str:
    parent = file.source.parents[call]
    target = parent.targets[0] if isinstance(parent, ast.Assign) else None
    return target.id if isinstance(target, ast.Name) else "-"


RULES = (
    Rule(
        "MAP301",
        "delete-by-prefix",
        "All that is under a prefix is deleted after it was listed or copied.",
        "warning",
        delete_by_prefix,
    ),
)
