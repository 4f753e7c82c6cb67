"""Whether a partition has the columns that its lake has, told by the file of another one, before it is published.

Where there is no other yet, several may be written as the first at once. So the one that is first to make a small file
beside the partitions says what columns they have, until one of them is published; the others hold to it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from itertools import islice
from typing import TYPE_CHECKING

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import QueryError, StorageError
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.storage import files
from airflow_mapping_kit.storage.lake import parquet_files, root_of
from airflow_mapping_kit.storage.uris import parsed
from airflow_mapping_kit.tables.database import literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from airflow_mapping_kit.operators.partition.addresses import Address

log = logging.getLogger(__name__)

# A footer is mostly smaller, so one request has it all.
_TAIL = 64 * 1024
_ENDS = b"PAR1"
_MOST_NAMED = 5
_LONGEST_SCHEMA = 1000
# So many files are tried, and so often a claim that others take back.
_LOOKS = 3

Columns = dict[str, str]


class Agreement:
    """Columns of a lake.

    :param connection: reads the files' footers
    :param target: a directory, or a bucket's prefix
    :param aws_conn_id: the Airflow connection for an `s3://` target that names none itself
    :param scratch: where the footer of a file elsewhere is kept while it is read
    """

    def __init__(
        self, connection: DuckDBPyConnection, target: str, aws_conn_id: str | None, scratch: Path
    ) -> None:
        self._connection, self._target, self._conn_id, self._scratch = (
            connection,
            target,
            aws_conn_id,
            scratch,
        )
        # Those of a partition that is there: what this task publishes next is told by it.
        self._agreed: Columns | None = None

    def check(self, place: Address, file: Path) -> Callable[[], None]:
        """Check the columns of a file, or of a directory of files, that is to be published; return what to call then.

        :raises QueryError: naming the columns that the lake has otherwise, and what to do
        """
        one = next(file.iterdir()) if file.is_dir() else file
        columns = self._columns_at(str(one), one.stat().st_size)
        if self._agreed is not None:
            self._compare(place, columns, self._agreed, "the partitions published before it")
            return lambda: None
        if self._is_like_another(place, columns):
            self._agreed = columns
            return lambda: None
        marker = f"{root_of(self._target, self._conn_id)}/{_marker_name(place)}"
        is_mine = self._claim(marker, place, columns)
        try:
            # Who was first may have published, and taken the claim back, between the two.
            self._is_like_another(place, columns)
        except QueryError:
            if is_mine:
                _forget(marker)
            raise

        def published() -> None:
            # From now on this partition's own file tells.
            self._agreed = columns
            if is_mine is not None:
                _forget(marker)

        return published

    def _is_like_another(self, place: Address, columns: Columns) -> bool:
        """Tell whether there is another partition, if it has these columns.

        :raises QueryError: if it has others
        """
        others = parquet_files(self._target, place.partition, place.directory, aws_conn_id=self._conn_id)
        # One that can't be read is passed by: it must not keep the whole lake from being loaded.
        for uri, size in islice(others, _LOOKS):
            try:
                theirs = self._columns_at(uri, size)
            except FileNotFoundError:
                continue
            except _NotParquetError as error:
                log.warning("%s is no whole Parquet file: %s", _without_connection(uri), one_line(error))
                continue
            self._compare(place, columns, theirs, _without_connection(uri))
            return True
        return False

    def _columns_at(self, uri: str, size: int) -> Columns:
        tail = files.read_range(uri, max(0, size - _TAIL), size)
        needed = int.from_bytes(tail[-8:-4], "little") + 8
        if tail[-4:] == _ENDS and len(tail) < needed <= size:
            tail = files.read_range(uri, size - needed, size)
        # As large as the file itself, and all but its end is a hole: DuckDB reads the footer alone. By a name without
        # what a glob is made of, which a target may have.
        copy = self._scratch / f"footer-{uuid.uuid4().hex}.parquet"
        with copy.open("wb") as hollow:
            hollow.seek(size - len(tail))
            hollow.write(tail)
        try:
            return self._columns_of(copy)
        finally:
            copy.unlink()

    def _columns_of(self, file: Path) -> Columns:
        import duckdb

        asked = f"DESCRIBE SELECT * FROM read_parquet({literal(str(file))}, hive_partitioning = false)"  # noqa: S608
        try:
            return {name: kind for name, kind, *_ in self._connection.execute(asked).fetchall()}
        except duckdb.Error as error:
            raise _NotParquetError(str(error)) from error

    def _claim(self, marker: str, place: Address, columns: Columns) -> bool | None:
        """Say what columns the lake is to have, or hold to what another has said.

        :return: whether this one was the first; `None` where that can't be told
        :raises QueryError: if the first has other columns
        """
        if not files.tells_the_first(marker):
            return None
        data = json.dumps({"directory": place.directory, "columns": columns}).encode()
        for _ in range(_LOOKS):
            try:
                if files.created(marker, data):
                    return True
                there = json.loads(files.read_range(marker, 0, 2**20))
            except FileNotFoundError:
                # Taken back, for a partition is published now.
                continue
            except StorageError as error:
                log.info(
                    "Whether another partition is the first one of the lake can't be told: %s",
                    one_line(error),
                )
                return None
            try:
                self._compare(
                    place, columns, there["columns"], f"the first one, {one_line(there['directory'])}"
                )
            except QueryError as error:
                raise QueryError(
                    f"{error} A task is publishing the first one now. If no such task is running, it was killed: "
                    f"delete {_without_connection(marker)}"
                ) from None
            return False
        return None

    def _compare(self, place: Address, here: Columns, there: Columns, where: str) -> None:
        said = [
            *(
                f"{name!r} is {kind} here and {there[name]} there"
                for name, kind in here.items()
                if name in there and there[name] != kind
            ),
            *(f"{name!r} is only here" for name in here if name not in there),
            *(f"{name!r} is only there" for name in there if name not in here),
        ]
        if not said:
            return
        schema = repr(here) if len(repr(here)) <= _LONGEST_SCHEMA else "{...}"
        more = f" and {len(said) - _MOST_NAMED} more" if len(said) > _MOST_NAMED else ""
        raise QueryError(
            f"partition {place.key}: its columns aren't those of {where}, and a lake has to be read with one schema: "
            f"{'; '.join(said[:_MOST_NAMED])}{more}. Nothing is published. Cast them in the query. Or, if all "
            f"partitions are to have these columns, write schema={schema}, and load the other partitions again."
        )


class _NotParquetError(ValueError):
    """What was read isn't a whole Parquet file."""


def _marker_name(place: Address) -> str:
    # Partitions of other dimensions are another table. No glob of readers' matches the name.
    told = hashlib.sha256("/".join(sorted(place.partition)).encode()).hexdigest()[:8]
    return f".mapping-kit-columns-{told}.json"


def _forget(marker: str) -> None:
    try:
        files.delete(marker)
    except (OSError, AirflowException, StorageError) as error:
        log.info("%s stays, which does no harm: %s", _without_connection(marker), one_line(error))


def _without_connection(uri: str) -> str:
    return str(parsed(uri)) if "://" in uri else uri
