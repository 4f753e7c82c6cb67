"""One run of a DAG: how it is begun, and what is seen of it when it has ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from chaos.verdict import Seen

if TYPE_CHECKING:
    from chaos.cluster import Cluster


class Work(ABC):
    """One run of a DAG.

    :param cluster: where.
    :param run_id: what its run is called.
    """

    name: ClassVar[str]
    dag_id: ClassVar[str]
    task_id: ClassVar[str]
    fan_in: ClassVar[str] = "collect"

    def __init__(self, cluster: Cluster, run_id: str) -> None:
        self.cluster = cluster
        self.run_id = run_id

    @abstractmethod
    def begin(self) -> None:
        """Prepare what it works on and trigger it."""

    @abstractmethod
    def look(self, seen: Seen) -> None:
        """Write down what is lost, doubled and wrong."""

    @property
    @abstractmethod
    def pieces(self) -> int:
        """How many pieces or items there are."""

    def done(self) -> int:
        """Return how much of it is done: by default, how many of its instances have succeeded."""
        query = (
            "SELECT count(*) AS n FROM task_instance WHERE dag_id = %s AND run_id = %s AND state = 'success'"
        )
        return int(self.cluster.sql(query, [self.dag_id, self.run_id])[0]["n"])

    def seen(self, struck: float, *, expected: str = "success") -> Seen:
        """Wait for the end of the run and return what became of the work.

        :param struck: when the last fault was, as `time.time()`.
        """
        state = self.cluster.ended(self.dag_id, self.run_id)
        instances = self.cluster.instances(self.dag_id, self.run_id)
        seen = Seen(
            self.name,
            self.pieces,
            state,
            hit=sum(max(one["try_number"] - 1, 0) for one in instances),
            seconds=self.cluster.seconds_after(self.dag_id, self.run_id, struck),
            expected=expected,
        )
        self.look(seen)
        instances = [one for one in instances if one["task_id"] == self.task_id]
        states = Counter(str(one["state"]) for one in instances)
        if set(states) - {"success"} and expected == "success":
            seen.wrong = [*seen.wrong, f"instances {dict(states)}"]
        nameless = sum(not one["rendered_map_index"] for one in instances if one["map_index"] >= 0)
        if nameless:
            seen.wrong = [*seen.wrong, f"{nameless} instances without a label"]
        return seen

    def counted(self, seen: Seen, total: int | None = None) -> dict[str, Any]:
        """Return the report of the fan-in; say so if it counts wrong."""
        report = self.cluster.report(self.dag_id, self.run_id, f"{self.fan_in}_{self.task_id}")
        total = self.pieces if total is None else total
        if (report["total"], report["succeeded"]) != (total, total):
            seen.wrong = [
                *seen.wrong,
                f"the report says {report['succeeded']} of {report['total']} succeeded",
            ]
        return report
