"""Files that a path or a glob names, on disk and in object storage."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException, storage_path
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.storage.buckets import listed, s3_client, s3_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = re.compile(r"[*?\[]")
_PARTS = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)


def s3_file(uri: str) -> tuple[str | None, str, str] | None:
    """Return the Airflow connection, the bucket and the key of an S3 URI, `None` of anything else.

    `s3://aws@lake/orders.csv` gives `("aws", "lake", "orders.csv")`; without `aws@` boto finds credentials itself.

    :raises StorageError: if it names no bucket or no key
    """
    if not uri.startswith("s3://"):
        return None
    place, _, key = uri.removeprefix("s3://").partition("/")
    connection, _, bucket = place.rpartition("@")
    if not bucket or not key:
        raise StorageError(f"{shown(uri)} names no file in a bucket: write s3://connection@bucket/key")
    return connection or None, bucket, key


def local_file(uri: str) -> str | None:
    """Return the path of a file of this machine, `None` of one that is elsewhere."""
    if uri.startswith("file://"):
        return uri.removeprefix("file://")
    return None if "://" in uri else uri


def is_glob(path: str) -> bool:
    """Tell whether a path may name several files."""
    return bool(_MAGIC.search(path))


def check_path(path: Any) -> None:
    """Check that a path may name a file.

    :raises StorageError: if it can't be one, or is a folder
    """
    if not isinstance(path, str) or not path.strip():
        raise StorageError(
            f"path={shown(path)} names no file: write one such as 's3://connection@bucket/orders.csv'"
        )
    s3_file(path)
    if path.endswith("/"):
        raise StorageError(f"{shown(path)} is a folder: name its files, such as {shown(f'{path}*.csv')}")


def found(path: str) -> list[str]:
    """Return the files that a path or a glob names, sorted.

    In a glob `*` and `?` stand for characters within one name, `**` for folders too, `[ab]` for one of some. Files and
    folders that a glob's `*` meets and whose names begin with `_` or `.` don't count, as in Hive and Spark.

    :raises StorageError: if it can't be a path, is a folder, or can't be listed
    :raises AirflowException: if a glob matches nothing: it may be there later
    """
    check_path(path)
    if not is_glob(path):
        return [path]
    # What is found of `file://` are paths.
    path = local_file(path) or path
    start = path[: _MAGIC.search(path).start()].rpartition("/")[0]  # type: ignore[union-attr]
    files = sorted(file for file in _matching(path) if not _is_hidden(file[len(start) :]))
    if not files:
        literal = " Write [[] for the character [." if "[" in path else ""
        raise AirflowException(
            f"No file matches {shown(path)}. Check the path, and whether the program that writes there has "
            f"finished. Files and folders that begin with _ or . don't count.{literal}"
        )
    return files


def _matching(path: str) -> Iterator[str]:
    if (local := local_file(path)) is not None:
        yield from (file for file in _on_disk(local) if Path(file).is_file())
    elif place := s3_file(path):
        connection, bucket, pattern = place
        prefix, matches = pattern[: _MAGIC.search(pattern).start()], _pattern(pattern)  # type: ignore[union-attr]
        root = path.removesuffix(pattern)
        with s3_errors(connection, bucket, f"list {root}{prefix}"):
            keys = (entry["Key"] for entry in listed(s3_client(connection), bucket, prefix))
            yield from (f"{root}{key}" for key in keys if matches.fullmatch(key))
    else:
        anywhere = storage_path(path)
        # What a file system calls its files begins with the bucket: before it are the scheme and the connection.
        root = path.removesuffix(anywhere.path)
        yield from (f"{root}{file}" for file in anywhere.fs.glob(anywhere.path) if anywhere.fs.isfile(file))


def _on_disk(pattern: str) -> Iterator[str]:
    return glob.iglob(pattern, recursive=True)  # noqa: PTH207 -- a `Path` takes no pattern that begins at the root


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile("".join(map(_expression, _PARTS.findall(text))), re.DOTALL)
    except re.error as error:
        raise StorageError(
            f"{shown(text)} is not a valid glob: {error}. Write [[] for the character [."
        ) from None


def _expression(part: str) -> str:
    if part.startswith("[") and len(part) > 1:
        inside = part[1:-1].replace("\\", r"\\")
        return f"(?!/)[^{inside[1:]}]" if inside[:1] in ("!", "^") else f"[{inside}]"
    return {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))


def _is_hidden(below: str) -> bool:
    return any(name.startswith(("_", ".")) and "=" not in name for name in below.split("/"))
