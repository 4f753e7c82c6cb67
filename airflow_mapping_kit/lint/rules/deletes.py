"""Deletes of more than was looked at: MAP301."""

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
    """Yield deletes of all that is under a prefix of S3, in a DAG that lists or copies: what came between is lost."""
    if file.is_test or any(one.name == _TAKES_AWAY for one in file.made):
        return
    operators: list[tuple[str, ast.Call, Mapping[str, ast.expr]]]
    operators = [(one.name, one.call, one.given) for one in file.made]
    operators += [(one.name, one.call, {**one.fixed, **one.over}) for one in file.mapped]
    asked = [call for call in file.source.all(ast.Call) if getattr(call.func, "attr", "") in _CALLS]
    for name, call, given in operators:
        if name != _DELETES or "prefix" not in given or "keys" in given:
            continue
        read = [
            one
            for kind, one, its in operators
            if _READS.fullmatch(kind) and not _are_elsewhere(file, its, given)
        ]
        is_read = read or any(not _are_elsewhere(file, keywords(one), given) for one in asked)
        if not is_read or _is_of_the_run(file, given["prefix"]) or _comes_first(file, call, read):
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


def _are_elsewhere(file: File, read: Mapping[str, ast.expr], deleted: Mapping[str, ast.expr]) -> bool:
    """Tell whether what is read is of another bucket, or of another folder of it, than what is deleted."""
    buckets = [_text(file, given, _BUCKETS) for given in (read, deleted)]
    keys = [_text(file, given, _KEYS) for given in (read, deleted)]
    if None not in buckets and buckets[0] != buckets[1]:
        return True
    one, other = (None if key is None else key.lstrip("/") for key in keys)
    return bool(one and other) and not (one.startswith(other) or other.startswith(one))  # type: ignore[union-attr, arg-type]


def _text(file: File, given: Mapping[str, ast.expr], names: Iterable[str]) -> str | None:
    value = next((given[name] for name in names if name in given), None)
    text = constant(value_of(file.source, value))
    return text if isinstance(text, str) else None


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
    for chain in chains(file.source):
        mine = [at for at, part in enumerate(chain) if names[call] & part]
        others = [at for at, part in enumerate(chain) if any(names[one] & part for one in read)]
        if mine and others:
            return mine[0] < min(others)
        if mine:
            return len(chain) > 1 and mine[0] == 0
    return bool(read) and all(call.lineno < one.lineno for one in read)


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
