"""Where the rows for a table are staged: below it, where no reader sees them before they are published."""

from __future__ import annotations

import shutil
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.duckdb.claims import claimed_directory, claimed_file
from airflow_mapping_kit.operators.duckdb.local import Staged, sync
from airflow_mapping_kit.storage import files
from airflow_mapping_kit.storage.lake import PASSING
from airflow_mapping_kit.storage.place import is_local
from airflow_mapping_kit.tables.staged import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.tables.described import Table


class TableTarget:
    """What one run stages for a table.

    :param table: as it was looked up
    :param run: of which task, see `run_of`
    :param scratch: where a file waits for its upload
    :param conn_id: the Airflow connection of the object storage that the table's files are in
    :param several: whether a partition is a folder of files
    """

    def __init__(
        self, table: Table, run: str, scratch: Path, conn_id: str | None, *, several: bool = False
    ) -> None:
        self._table, self._scratch, self._conn_id = table, scratch, conn_id
        self._several = several
        self._prefix = prefix(table, run)

    def console(self, _: str) -> None:
        """Return nothing: what is staged is nobody's to look at."""

    def check(self, key: str, directory: str) -> None:
        """Do nothing: a staged file has a name of its own, which fits anywhere."""

    @contextmanager
    def staged(self, key: str, directory: str) -> Iterator[Staged]:
        """Give a file, or an empty folder for several; what `publish` returns is where it is then, for the fan-in.

        On disk it is written where it stays. If the block ends with an error it is removed; what a killed process
        leaves is removed when the run is published.

        :raises TargetError: if the folder can't be made or written to
        :raises OSError: if it could be another time: the disk is full
        """
        folder = f"{self._prefix}/{directory}" if directory else self._prefix
        path = f"{folder}/{uuid.uuid4()}{'' if self._several else '.parquet'}"
        if is_local(path):
            with self._on_disk(key, Path(path)) as staged:
                yield staged
            return
        with ExitStack() as stack:
            if self._several:
                local = stack.enter_context(claimed_directory(self._scratch))
            else:
                local, _ = stack.enter_context(claimed_file(self._scratch))

            def upload() -> str:
                for file in sorted(local.iterdir()) if self._several else [local]:
                    name = f"{path}/{file.name}" if self._several else path
                    with file.open("rb") as source, files.whole(self._with_connection(name)) as copy:
                        shutil.copyfileobj(source, copy, 4 * 2**20)
                return path

            yield Staged(local, upload)

    @contextmanager
    def _on_disk(self, key: str, path: Path) -> Iterator[Staged]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._several:
                path.mkdir()
            else:
                path.touch()
        except OSError as error:
            if error.errno in PASSING:
                raise
            raise TargetError(
                f"partition {key}: can't write to {str(path.parent)!r}: {error.strerror}. Check the location of the "
                f"table {self._table['name']}, and that the worker's user may write there"
            ) from error
        kept = False

        def keep() -> str:
            nonlocal kept
            for changed in (*(path.iterdir() if self._several else ()), path, path.parent):
                sync(changed)
            kept = True
            return str(path)

        try:
            yield Staged(path, keep)
        finally:
            if not kept and self._several:
                shutil.rmtree(path, ignore_errors=True)
            elif not kept:
                path.unlink(missing_ok=True)

    def _with_connection(self, path: str) -> str:
        scheme, _, rest = path.partition("://")
        # What Hadoop calls S3.
        scheme = "s3" if scheme in ("s3a", "s3n") else scheme
        return f"{scheme}://{self._conn_id}@{rest}" if self._conn_id else f"{scheme}://{rest}"
