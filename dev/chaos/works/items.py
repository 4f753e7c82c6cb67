"""Items in batches, whose effects a witness counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.effects import beyond
from chaos.works.work import Work

if TYPE_CHECKING:
    from chaos.cluster import Cluster
    from chaos.verdict import Seen


class Items(Work):
    """Items in batches, each of which tells the witness of its effect."""

    name = "`@task.batched`"
    dag_id = "chaos_items"
    task_id = "work"

    def __init__(self, cluster: Cluster, run_id: str, *, items: int = 600, seconds: float = 0.3) -> None:
        super().__init__(cluster, run_id)
        self.items = items
        self.seconds = seconds

    @property
    def pieces(self) -> int:
        return self.items

    def begin(self) -> None:
        self.cluster.trigger(
            self.dag_id, self.run_id, witness=self.cluster.witness.url, items=self.items, seconds=self.seconds
        )

    def look(self, seen: Seen) -> None:
        heard = self.cluster.witness.heard()
        seen.lost = [f"item {n}" for n in range(self.items) if str(n) not in heard]
        seen.doubled, seen.repeated, seen.told = beyond(self.cluster.witness.effects, self.seconds)
        report = self.counted(seen)
        wrong = [
            row["key"]
            for row in report["results"]
            if row["value"] != 2 * int(row["key"].removeprefix("item="))
        ]
        if wrong:
            seen.wrong = [*seen.wrong, f"values of others: {wrong[:5]}"]
