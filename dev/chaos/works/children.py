"""A run of another DAG for each item."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from chaos.works.work import Work

if TYPE_CHECKING:
    from chaos.cluster import Cluster
    from chaos.verdict import Seen


class Children(Work):
    """A run of another DAG for each item."""

    name = "`TriggerDagRunPerItemOperator`"
    dag_id = "chaos_parent"
    task_id = "trigger"

    def __init__(self, cluster: Cluster, run_id: str, *, children: int = 20) -> None:
        super().__init__(cluster, run_id)
        self.children = children

    @property
    def pieces(self) -> int:
        return self.children

    def begin(self) -> None:
        self.cluster.trigger(
            self.dag_id, self.run_id, witness=self.cluster.witness.url, children=self.children, seconds=1.0
        )

    def begun(self) -> int:
        """Return how many child runs there are."""
        return len(self._runs())

    def waits(self) -> bool:
        """Tell whether the task waits in the triggerer."""
        found = self.cluster.instances(self.dag_id, self.run_id, self.task_id)
        return any(one["state"] == "deferred" for one in found)

    def look(self, seen: Seen) -> None:
        heard = self.cluster.witness.heard("child")
        runs = self._runs()
        items = Counter(str(run["conf"]["item"]) for run in runs)
        seen.lost = [f"item {n}" for n in range(self.children) if str(n) not in heard or str(n) not in items]
        seen.doubled = [f"item {item}" for item, number in items.items() if number > 1]
        # The task of a child that was killed is tried again, as any task of Airflow's.
        seen.repeated = sum(number - 1 for number in heard.values())
        states = Counter(run["state"] for run in runs)
        if set(states) != {"success"}:
            seen.wrong = [*seen.wrong, f"child runs {dict(states)}"]

    def done(self) -> int:
        return self.begun()

    def _runs(self) -> list[dict[str, Any]]:
        return self.cluster.until(
            "the child runs",
            lambda: [
                [run for run in self.cluster.airflow.runs("chaos_child") if self.run_id in run["run_id"]]
            ],
        )[0]
