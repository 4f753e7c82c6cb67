"""Deletes by prefix: MAP301."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.operators import constant, keywords
from airflow_mapping_kit.lint.origins import value_of
from airflow_mapping_kit.lint.rule import Rule
from airflow_mapping_kit.lint.rules.order import chains

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_mapping_kit.lint.findings import Finding
    from airflow_mapping_kit.lint.project import File


# What reads or copies what a later delete takes away.
_READS = re.compile(
    r"S3(List|Copy|FileTransform)\w*Operator|(S3To|CopyFromExternalStageToSnowflake)\w*Operator"
)
_CALLS = frozenset(
    "list_keys copy_object get_file_metadata list_objects list_objects_v2 get_paginator download_file "
    "download_fileobj read_key".split()
)
_DELETES = "S3DeleteObjectsOperator"
# A bucket that the DAG itself takes away held nothing of anybody else.
_TAKES_AWAY = "S3DeleteBucketOperator"
_BUCKETS = ("bucket", "bucket_name", "source_bucket_name", "s3_bucket", "Bucket")
_KEYS = ("prefix", "Prefix", "source_bucket_key", "s3_key", "source_s3_key", "key")
_OF_THE_RUN = re.compile(r"\{\{[^}]*\b(run_id|ts_nodash|ts)\b")


def delete_by_prefix(file: File) -> Iterator[Finding]:
    """Yield deletes of a whole S3 prefix in a DAG that lists or copies: objects that arrive in between are lost."""
    if file.is_test or any(one.name == _TAKES_AWAY for one in file.made):
        return
    operators = [(one.name, one.call, one.given) for one in file.made]
    operators += [(one.name, one.call, {**one.fixed, **one.over}) for one in file.mapped]
    deletes = [
        (call, given)
        for name, call, given in operators
        if name == _DELETES and "prefix" in given and "keys" not in given
    ]
    if not deletes:
        return
    read = [(call, _where(file, given)) for name, call, given in operators if _READS.fullmatch(name)]
    asked = {
        _where(file, keywords(call))
        for call in file.source.all(ast.Call)
        if getattr(call.func, "attr", "") in _CALLS
    }
    order = list(chains(file.source))
    for call, given in deletes:
        here = _where(file, given)
        of_it = [one for one, where in read if not _are_apart(where, here)]
        is_read = of_it or any(not _are_apart(where, here) for where in asked)
        if not is_read or _is_of_the_run(file, given["prefix"]) or _comes_first(file, order, call, of_it):
            continue
        prefix = constant(given["prefix"])
        shown = f"prefix={prefix!r}" if isinstance(prefix, str) else "a prefix"
        yield file.finding(
            "MAP301",
            call,
            f"This deletes everything under {shown}, also objects that arrived after the listing or the copy: they "
            "are lost",
            "Delete only the keys that were listed: S3DeleteObjectsOperator(keys=...). Or move and verify each key: "
            "S3MoveKeysOperator.partial(...).expand(keys=s3_keys(bucket, prefix))",
            related=[file.related(one, "the listing or the copy") for one in of_it[:3]],
        )


def _where(file: File, given: Mapping[str, ast.expr]) -> tuple[str, str]:
    """Return the bucket, and the folder or the key in it, that a call names; empty of what the file doesn't say."""
    return _text(file, given, _BUCKETS), _text(file, given, _KEYS).lstrip("/")


def _text(file: File, given: Mapping[str, ast.expr], names: Iterable[str]) -> str:
    value = next((given[name] for name in names if name in given), None)
    text = constant(value_of(file.source, value))
    return text if isinstance(text, str) else ""


def _are_apart(read: tuple[str, str], deleted: tuple[str, str]) -> bool:
    """Tell whether what is read is of another bucket, or of another folder of it, than what is deleted."""
    (bucket, key), (other, prefix) = read, deleted
    if bucket and other and bucket != other:
        return True
    return bool(key and prefix) and not (key.startswith(prefix) or prefix.startswith(key))


def _is_of_the_run(file: File, prefix: ast.expr) -> bool:
    """Tell whether nobody but the run itself puts something under a prefix."""
    value = value_of(file.source, prefix)
    texts = (
        (one.value for one in ast.walk(value) if isinstance(one, ast.Constant)) if value is not None else ()
    )
    return any(isinstance(text, str) and _OF_THE_RUN.search(text) for text in texts)


def _comes_first(
    file: File, order: list[list[set[ast.AST | str]]], call: ast.Call, read: list[ast.Call]
) -> bool:
    """Tell whether a delete clears the place before anything is read: by `>>`, else by where it stands."""
    mine = _names(file, [call])
    theirs = _names(file, read)
    for chain in order:
        first = next((at for at, part in enumerate(chain) if mine & part), None)
        if first is not None:
            others = [at for at, part in enumerate(chain) if theirs & part]
            return first < min(others) if others else len(chain) > 1 and first == 0
    return bool(read) and all(call.lineno < one.lineno for one in read)


def _names(file: File, calls: list[ast.Call]) -> set[ast.AST | str]:
    """Return calls, and the names that their results have."""
    found: set[ast.AST | str] = set(calls)
    for call in calls:
        parent = file.source.parents[call]
        target = parent.targets[0] if isinstance(parent, ast.Assign) else None
        found |= {target.id} if isinstance(target, ast.Name) else set()
    return found


RULES = (
    Rule(
        "MAP301",
        "delete-by-prefix",
        "Everything under a prefix is deleted after it was listed or copied.",
        "warning",
        delete_by_prefix,
    ),
)
