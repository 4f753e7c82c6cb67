"""Publish partitions to Google's and Azure's object storage, one object each."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.lineage.console import google_console
from airflow_mapping_kit.operators.duckdb.claims import claimed_file
from airflow_mapping_kit.operators.duckdb.local import Staged
from airflow_mapping_kit.storage import other_files
from airflow_mapping_kit.storage.file_systems import check_bucket, errors
from airflow_mapping_kit.storage.lake import FILE_NAME
from airflow_mapping_kit.storage.uris import AZURE, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_mapping_kit.storage.uris import Uri

# Bytes to Google, characters to Azure.
_MAX_NAME = 1024
_BLOCK = 4 * 2**20


class ObjectTarget:
    """A prefix in a bucket, or in a container.

    :param place: with the Airflow connection of its credentials
    :param scratch: where a file waits for its upload
    """

    def __init__(self, place: Uri, scratch: Path) -> None:
        self._place, self._scratch = place, scratch
        self._there = False

    def console(self, below: str) -> str | None:
        """Return where Google Cloud shows what is below the target; of Azure's only its subscription knows."""
        place = self._place
        return None if place.scheme in AZURE else google_console(place.bucket, f"{place.key}{below}")

    def check(self, key: str, directory: str) -> None:
        """Check that an object can have this name.

        :raises TargetError: naming its length, if it is too long
        """
        name = self._object(directory).key
        is_azure = self._place.scheme in AZURE
        size = len(name) if is_azure else len(name.encode())
        if size > _MAX_NAME:
            unit, store = ("characters", "Azure") if is_azure else ("bytes", "Google")
            raise TargetError(
                f"partition {key}: its object's name would take {size} {unit}, and {store} takes {_MAX_NAME}: shorten "
                f"the values or the target's prefix"
            )

    @contextmanager
    def staged(self, key: str, directory: str) -> Iterator[Staged]:
        """Give a local file, so that publishing is one upload, which the store shows only when it is complete.

        What other tools wrote under that prefix (`*.parquet` directly under it, listed before the query runs) is
        deleted right after; a reader in between sees both. Longer prefixes are other partitions.

        :raises StorageError: if it can't be listed
        """
        place = self._object(directory)
        doing = f"publish the partition {key} to"
        with errors(place, doing):
            stale = self._stale(key, place, doing)
        with claimed_file(self._scratch) as (path, _):

            def publish() -> str:
                size = path.stat().st_size
                with errors(place, doing):
                    with path.open("rb") as source, other_files.whole(place.uri, doing) as copy:
                        shutil.copyfileobj(source, copy, _BLOCK)
                    found = other_files.size(place.uri)
                    if found != size:
                        raise AirflowException(
                            f"{place} has {found} bytes, and {size} were sent: somebody else may have written it"
                        )
                    other_files.delete(stale)
                return str(place)

            yield Staged(path, publish)

    def _stale(self, key: str, place: Uri, doing: str) -> list[str]:
        there = other_files.listed(place.uri.removesuffix(f"/{FILE_NAME}"))
        if not there and not self._there:
            check_bucket(place, doing)
        self._there = True
        stale = [other for other in there if other.endswith(".parquet") and other != place.uri]
        # Its file system takes these for more than a part of a name, and would delete another one.
        if place.scheme in AZURE and (odd := [other for other in stale if "?" in other or "#" in other]):
            raise TargetError(
                f"partition {key}: a ? or # is in the name of {parsed(odd[0])}, so Airflow's file system can't delete "
                f"what would stay beside the partition: delete it"
            )
        return stale

    def _object(self, directory: str) -> Uri:
        return self._place._replace(key=f"{self._place.key}{directory}/{FILE_NAME}")
