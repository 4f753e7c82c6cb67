"""Partitions of a table of PostgreSQL, whose rows are counted."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING

from chaos.works.partitions import ORIGINS, partitions
from chaos.works.work import Work

if TYPE_CHECKING:
    from chaos.cluster import Cluster
    from chaos.verdict import Seen

# Of each partition.
ROWS = 20


class Replaced(Work):
    """Partitions of a table of PostgreSQL, each replaced in a transaction of its own."""

    name = "`SQLPartitionOperator`"
    dag_id = "chaos_rows"
    task_id = "load"
    days = 5

    def __init__(self, cluster: Cluster, run_id: str) -> None:
        super().__init__(cluster, run_id)
        self.table = re.sub(r"\W", "_", run_id).lower()

    @property
    def pieces(self) -> int:
        return len(partitions(self.days, ORIGINS[:2]))

    def begin(self) -> None:
        columns = "number INT, slept TEXT, origin TEXT, date DATE"
        self.cluster.warehouse(f"CREATE TABLE {self.table} ({columns})")
        last = date(2013, 1, self.days).isoformat()
        self.cluster.trigger(self.dag_id, self.run_id, table=self.table, last_day=last)

    def look(self, seen: Seen) -> None:
        query = f"SELECT date::TEXT, origin, number FROM {self.table}"
        rows = Counter(self.cluster.warehouse(query))
        numbers = Counter(f"date={day}/origin={origin}" for day, origin, _ in rows)
        seen.told = {"rows": rows.total()}
        seen.lost = sorted(k for k in partitions(self.days, ORIGINS[:2]) if numbers[k] < ROWS)
        seen.doubled = sorted({f"date={day}/origin={o}" for (day, o, _), n in rows.items() if n > 1})


class Published(Replaced):
    """The same, published all at once."""

    name = "`SQLPartitionOperator` and `publish`"
    dag_id = "chaos_published"
