"""Partitions of an Iceberg table that become one snapshot; each snapshot is compared with its source row by row."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from chaos.cluster import BUCKET, INCLUDE
from chaos.works.partitions import partitions
from chaos.works.work import Work
from stack.flights_table import LOAD, NAMESPACE, make_table

if TYPE_CHECKING:
    import duckdb

    from chaos.cluster import Cluster
    from chaos.verdict import Seen

SOURCE = INCLUDE / "data" / "flights-2013.parquet"
# Distances tell which load a row is of. The loads differ in their days: the table has a day more than is replaced.
LOADED = """
CREATE TABLE {name} AS
SELECT origin, date, carrier, flight, dest, dep_delay::INT AS dep_delay, arr_delay::INT AS arr_delay,
       (distance + {load} * (date <= '{last}')::INT)::INT AS distance
FROM read_parquet('{source}') WHERE date <= DATE '{last}' + 1
"""
UNLIKE = """
SELECT DISTINCT 'date=' || date || '/origin=' || origin FROM (FROM {one} EXCEPT ALL FROM {other}) ORDER BY 1
"""


class Table(Work):
    """Partitions that DuckDB stages in batches of three, on S3, and `publish` makes one snapshot."""

    name = "`DuckDBPartitionOperator`, Iceberg, and `publish`"
    dag_id = "chaos_table"
    task_id = "load"
    fan_in = "publish"

    def __init__(self, cluster: Cluster, run_id: str, *, days: int = 5) -> None:
        super().__init__(cluster, run_id)
        self.days = days
        name = re.sub(r"\W", "_", run_id).lower()
        self.table = f"{NAMESPACE}.{name}"

    @property
    def pieces(self) -> int:
        return len(partitions(self.days))

    def begin(self) -> None:
        folder = self.cluster.folder / "tables"
        folder.mkdir(exist_ok=True)
        source = folder / f"{self.run_id}.parquet"
        with self._sources() as connection:
            connection.table("new").write_parquet(str(source))
            old = connection.table("old").to_arrow_table()
        table = make_table(self.cluster.catalog, self.table)
        table.append(old)
        self.location = table.location()
        self.cluster.trigger(
            self.dag_id,
            self.run_id,
            table=self.table,
            source=str(source),
            last_day=date(2013, 1, self.days).isoformat(),
        )

    def done(self) -> int:
        """Return how many files lie where instances stage: a part of an instance counts."""
        return len(self._keys("data/mapping-kit/"))

    def publisher(self) -> str:
        """Return the worker that publishes."""
        (found,) = self.cluster.instances(self.dag_id, self.run_id, "publish_load")
        return str(found["hostname"])

    def look(self, seen: Seen) -> None:
        table = self._table()
        snapshots = sorted(table.snapshots(), key=lambda one: one.sequence_number)
        named = set()
        with self._sources() as connection:
            # A reader sees snapshots, so all that anybody can have seen is among these.
            for number, snapshot in enumerate(snapshots):
                scan = table.scan(snapshot_id=snapshot.snapshot_id)
                named |= {task.file.file_path for task in scan.plan_files()}
                connection.register(f"of_{number}", scan.to_arrow())
            last = f"of_{len(snapshots) - 1}"
            seen.lost = self._unlike(connection, "new", last)
            seen.doubled = self._unlike(connection, last, "new")
            first = [*self._unlike(connection, "old", "of_0"), *self._unlike(connection, "of_0", "old")]
        wrong = [f"the old snapshot has other rows in {first[:5]}"] if first else []
        if len(snapshots) != 2:  # noqa: PLR2004 - the old and the new
            wrong.append(f"{len(snapshots)} snapshots, not the old one and a new one")
        data = {f"s3://{BUCKET}/{key}" for key in self._keys("data/")}
        # Where pyarrow has deleted a file, it writes an empty object in the name of the folder.
        marks = {uri for uri in data if uri.endswith("/")}
        if strange := sorted(data - named - marks):
            wrong.append(f"no snapshot knows {len(strange)} files: {strange[:5]}")
        if gone := sorted(named - data):
            wrong.append(f"{len(gone)} files of snapshots are gone: {gone[:5]}")
        seen.wrong = [*seen.wrong, *wrong]
        report = self.counted(seen)
        seen.told = {
            "snapshots": len(snapshots),
            "files left by earlier tries": (report.get("published") or {}).get("left_over"),
            "empty objects in the name of a folder": len(marks),
            # The docs allow for some of a `publish` that is killed.
            "files of metadata": len(self._keys("metadata/")),
        }

    def _keys(self, below: str) -> list[str]:
        prefix = f"{self.location.removeprefix(f's3://{BUCKET}/')}/{below}"
        return self.cluster.s3.keys(BUCKET, prefix)

    def _sources(self) -> duckdb.DuckDBPyConnection:
        """Return what the table is to have had before, and is to have in the end."""
        import duckdb

        connection = duckdb.connect()
        last = date(2013, 1, self.days).isoformat()
        for name, load in (("old", 0), ("new", LOAD)):
            connection.execute(LOADED.format(name=name, load=load, last=last, source=SOURCE))
        return connection

    def _table(self) -> Any:
        """Return the table as the catalog knows it now, read from S3 without the proxies."""
        from pyiceberg.table import StaticTable

        known = self.cluster.catalog.client().load_table(self.table)
        return StaticTable.from_metadata(known.metadata_location, self.cluster.s3.iceberg_storage)

    @staticmethod
    def _unlike(connection: duckdb.DuckDBPyConnection, one: str, other: str) -> list[str]:
        """Return the partitions of which one has a row more than the other."""
        return [key for (key,) in connection.execute(UNLIKE.format(one=one, other=other)).fetchall()]
