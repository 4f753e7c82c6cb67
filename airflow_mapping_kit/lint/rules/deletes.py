"""Deletes of more than was looked at: MAP301."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.operators import constant
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
        if "prefix" not in given or "keys" in given:
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


RULES = (
    Rule(
        "MAP301",
        "delete-by-prefix",
        "All that is under a prefix is deleted after it was listed or copied.",
        "warning",
        delete_by_prefix,
    ),
)
