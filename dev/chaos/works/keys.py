"""Keys of S3 that are moved, byte by byte, or loaded into Snowflake, row by row."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from chaos.cluster import BUCKET
from chaos.works.work import Work
from stack.landing import TABLE

if TYPE_CHECKING:
    from chaos.cluster import Cluster
    from chaos.verdict import Seen


class Moved(Work):
    """Keys of S3 that are moved."""

    name = "`S3MoveKeysOperator`"
    dag_id = "chaos_move"
    task_id = "move"

    def __init__(self, cluster: Cluster, run_id: str, *, keys: int = 150) -> None:
        super().__init__(cluster, run_id)
        self.bodies = {f"{n:03d}.csv": f"{run_id} {n}\n".encode() * (1 + n % 7) for n in range(keys)}

    @property
    def pieces(self) -> int:
        return len(self.bodies)

    def begin(self) -> None:
        client = self.cluster.s3.client()
        for key, body in self.bodies.items():
            client.put_object(Bucket=BUCKET, Key=f"{self.run_id}/in/{key}", Body=body)
        self.cluster.trigger(self.dag_id, self.run_id, prefix=self.run_id)

    def look(self, seen: Seen) -> None:
        client = self.cluster.s3.client()
        keys = {key for key in self.cluster.s3.keys(BUCKET) if key.startswith(f"{self.run_id}/")}
        source = {key for key in self.bodies if f"{self.run_id}/in/{key}" in keys}
        there = {key for key in self.bodies if f"{self.run_id}/out/{key}" in keys}
        seen.lost = sorted(self.bodies.keys() - there)
        seen.doubled = sorted(source & there)
        wrong = [
            key
            for key in sorted(there)
            if client.get_object(Bucket=BUCKET, Key=f"{self.run_id}/out/{key}")["Body"].read()
            != self.bodies[key]
        ]
        if wrong:
            seen.wrong = [*seen.wrong, f"other bytes in {wrong[:5]}"]


class Copied(Work):
    """Files of S3 that Snowflake loads."""

    name = "`S3KeysToSnowflakeOperator`"
    dag_id = "chaos_copy"
    task_id = "copy"

    def __init__(self, cluster: Cluster, run_id: str, *, days: int = 6) -> None:
        super().__init__(cluster, run_id)
        self.days = days
        self.table = re.sub(r"\W", "_", run_id)
        self.files: dict[str, bytes] = {}

    @property
    def pieces(self) -> int:
        return len(self.files)

    def begin(self) -> None:
        self.files = self.cluster.land(self.run_id, self.days)
        self.cluster.snowflake.sql(TABLE.replace("flights", self.table))
        self.cluster.trigger(self.dag_id, self.run_id, prefix=self.run_id, table=self.table)

    def look(self, seen: Seen) -> None:
        rows = Counter(
            f"landing/{self.run_id}/2013{month:02}{day:02}/{origin}.csv"
            for month, day, origin in self.cluster.snowflake.sql(
                f"SELECT month, day, origin FROM {self.table}"
            )
        )
        wanted = {key: len(body.splitlines()) - 1 for key, body in self.files.items()}
        seen.told = {"rows": rows.total()}
        seen.lost = [key for key, number in wanted.items() if rows[key] < number]
        seen.doubled = [key for key, number in wanted.items() if rows[key] > number]
