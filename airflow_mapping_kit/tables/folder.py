"""The folder that one run stages in: which files are there, and which of them nobody needs any more."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.storage.buckets import listed, s3_client, s3_errors
from airflow_mapping_kit.storage.uris import s3_place
from airflow_mapping_kit.tables.staged import with_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_mapping_kit.tables.staged import Staged

log = logging.getLogger(__name__)

# So many S3 deletes in one request.
_AT_ONCE = 1000


class Folder:
    """A run's staging folder, on a disk or in S3.

    :param path: as `tables.staged.prefix` returns it.
    :param aws_conn_id: the Airflow connection for `s3://`.

    Example: `Folder("/lake/flights/mapping-kit/0f3a", None).files()` gives `{"/lake/.../0f3a/1c.parquet": 7811}`.
    """

    def __init__(self, path: str, aws_conn_id: str | None) -> None:
        self._path, self._aws_conn_id = path, aws_conn_id
        self._place = s3_place(path)

    def files(self) -> dict[str, int]:
        """Return the sizes of the files by their paths, those in folders below, too; none if there is no folder."""
        if self._place is None:
            found = {}
            for folder, _, names in os.walk(self._path):
                for path in (os.path.join(folder, name) for name in names):  # noqa: PTH118
                    # Another try of the same task may be cleaning up.
                    with suppress(FileNotFoundError):
                        found[path] = os.path.getsize(path)  # noqa: PTH202
            return found
        bucket, prefix = self._place
        with s3_errors(self._aws_conn_id, bucket, f"list {self._path}"):
            entries = listed(s3_client(self._aws_conn_id), bucket, prefix)
            return {f"s3://{bucket}/{entry['Key']}": entry["Size"] for entry in entries}

    def remove(self, paths: Collection[str]) -> int:
        """Remove files, and return how many. What can't be removed is logged: the table is right without that."""
        try:
            self._remove(sorted(paths))
        except (OSError, AirflowException, ValueError) as error:
            log.warning("%d files that no snapshot knows are left in %s: %s", len(paths), self._path, error)
            return 0
        return len(paths)

    def _remove(self, paths: list[str]) -> None:
        if self._place is None:
            for path in paths:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108
            return
        bucket, _ = self._place
        names = [path.removeprefix(f"s3://{bucket}/") for path in paths]
        with s3_errors(self._aws_conn_id, bucket, f"remove what is left over in {self._path}"):
            client = s3_client(self._aws_conn_id)
            for start in range(0, len(names), _AT_ONCE):
                some = [{"Key": name} for name in names[start : start + _AT_ONCE]]
                refused = client.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True}).get(
                    "Errors"
                )
                if refused:
                    raise AirflowException(f"{refused[0]['Key']}: {refused[0]['Code']}")


def check_files(pieces: Iterable[Staged], files: Mapping[str, int]) -> None:
    """Check that what is to be published is there, as it was staged.

    :param files: what is in the folder.
    :raises TargetError: naming the partition whose file is gone or another
    """
    for piece, staged in with_files(pieces):
        path = staged["path"]
        if files.get(path) == staged["bytes"]:
            continue
        what = (
            f"has {files[path]:,} bytes and was staged with {staged['bytes']:,}"
            if path in files
            else "is gone"
        )
        raise TargetError(
            f"partition {piece['key']}: the staged file {path} {what}, so nothing is published. Clear this "
            f"instance so that it stages again, and then the publishing task. If a tool removes files that no "
            f"snapshot has (VACUUM, removal of orphans), its retention has to be longer than a run"
        )
