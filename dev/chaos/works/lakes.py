"""Partitions that DuckDB writes into a lake, which is compared with its source row by row."""

from __future__ import annotations

import re
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.cluster import BUCKET, INCLUDE
from chaos.works.partitions import partitions
from chaos.works.work import Work

if TYPE_CHECKING:
    from chaos.cluster import Cluster
    from chaos.verdict import Seen


class Lake(Work):
    """Partitions that DuckDB writes, an instance each, to disk."""

    name = "`DuckDBPartitionOperator`, disk"
    dag_id = "chaos_lake"
    task_id = "load"
    on_s3 = False

    def __init__(self, cluster: Cluster, run_id: str, *, days: int = 10) -> None:
        super().__init__(cluster, run_id)
        self.days = days

    @property
    def pieces(self) -> int:
        return len(partitions(self.days))

    def begin(self) -> None:
        target = (
            f"s3://{BUCKET}/{self.run_id}" if self.on_s3 else str(self.cluster.folder / "lakes" / self.run_id)
        )
        conn_id = "chaos_s3" if self.on_s3 else None
        last = date(2013, 1, self.days).isoformat()
        self.cluster.trigger(self.dag_id, self.run_id, target=target, aws_conn_id=conn_id, last_day=last)

    def look(self, seen: Seen) -> None:
        if not self.on_s3:
            self._compare(self.cluster.folder / "lakes" / self.run_id, seen)
        else:
            with tempfile.TemporaryDirectory() as folder:
                client = self.cluster.s3.client()
                for key in self.cluster.s3.keys(BUCKET):
                    if key.startswith(f"{self.run_id}/"):
                        path = Path(folder) / key.removeprefix(f"{self.run_id}/")
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
                self._compare(Path(folder), seen)
        self.counted(seen)

    def _compare(self, folder: Path, seen: Seen) -> None:
        """Compare the lake with its source, row by row, and look for what should not lie there."""
        import duckdb

        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        wanted = {f"{key}/data_0.parquet" for key in partitions(self.days)}
        lost, strange = sorted(wanted - files), sorted(files - wanted)
        # A task that was killed while it published the first partition of a lake leaves one, as the docs say.
        marked = [name for name in strange if name.startswith(".mapping-kit-columns-")]
        strange = [name for name in strange if name not in marked]
        if strange:
            seen.wrong = [*seen.wrong, f"left in the lake: {strange[:5]}"]
        seen.lost = lost
        if not files & wanted:
            return
        query = (INCLUDE / "sql" / "flights.sql").read_text()
        source = re.sub(r"WHERE.*", f"WHERE day <= {self.days}", query, flags=re.DOTALL)
        names = "year, month, day, origin, carrier, flight, time_hour, dep_time, arr_time, tailnum, dest, distance"
        with duckdb.connect() as connection:
            data = {"source": str(INCLUDE / "data" / "flights-2013-01.csv.gz")}
            connection.execute(f"CREATE TABLE source AS {source}", data)
            glob = str(folder / "*" / "*" / "data_0.parquet")
            lake = "CREATE TABLE lake AS SELECT * FROM read_parquet($1, hive_partitioning = true)"
            connection.execute(lake, [glob])
            count = "SELECT count(*) FROM (SELECT {n} FROM {a} EXCEPT ALL SELECT {n} FROM {b})"
            ((missing,),) = connection.execute(count.format(n=names, a="source", b="lake")).fetchall()
            ((more,),) = connection.execute(count.format(n=names, a="lake", b="source")).fetchall()
            ((rows,),) = connection.execute("SELECT count(*) FROM lake").fetchall()
        seen.told = {"rows": rows, **({"left of a first partition": marked} if marked else {})}
        seen.lost = [*lost, *[f"{missing} rows"] * bool(missing)]
        seen.doubled = [f"{more} rows"] * bool(more)


class LakeOnS3(Lake):
    """The same on S3."""

    name = "`DuckDBPartitionOperator`, S3"
    on_s3 = True


class LakeInBatches(Lake):
    """The same on disk, eight partitions an instance."""

    name = "`DuckDBPartitionOperator`, disk, in batches"
    dag_id = "chaos_lake_in_batches"
