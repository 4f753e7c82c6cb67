"""Partitions from the API of the page *Partitions*, where only the webserver can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.lookup import LATEST
from airflow_mapping_kit.cli.remote import part
from airflow_mapping_kit.cli.seen import ChangedMeanwhile, Done, Seen, Tried, Wrong, said_of_unread
from airflow_mapping_kit.history.axes import Dimension

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.cli.remote_page import Page

_CONFLICT = 409
# What the page takes.
_MOST_RUNS, _MOST_CHOSEN = 1_000, 10_000


class RemotePartitions:
    """The partitions of a DAG as the page shows them.

    :param page: the page's API.
    """

    def __init__(self, page: Page, dag_id: str, task_id: str | None, run_id: str | None, limit: int) -> None:
        self._page, self._path = page, f"dags/{part(dag_id)}"
        asked = {"task": task_id, "limit": min(limit, _MOST_RUNS)}
        if run_id == LATEST:
            runs = self._matrix({**asked, "limit": 1})["runs"]
            if not runs:
                raise Failure(f"The DAG {dag_id!r} has no runs yet.")
            run_id = runs[0]["id"]
        found = self._matrix({**asked, "run": run_id})

        def tried(cell: int) -> Tried | None:
            one = found["attempts"].get(str(cell))
            if one is None:
                return None
            number, map_index, tries, seconds, task = one
            return Tried(found["runs"][number]["id"], map_index, task, tries, seconds)

        self.seen = Seen(
            dag_id,
            found["task"]["name"],
            found["run"],
            [Dimension(one["name"], one["values"], one["cadence"]) for one in found["dimensions"]],
            found["cells"],
            [Wrong(one["type"], one["message"], one["cells"]) for one in found["errors"]],
            [*found["notes"], *said_of_unread((run["id"], run["unread"]) for run in found["runs"])],
            tried,
        )

    def preview(self, what: str, cells: Sequence[int]) -> dict[str, Any]:
        """Return what would be cleared and started for some cells."""
        return self._page.post(f"{self._path}/preview", self._body(what, cells))[1]

    def carry_out(self, what: str, cells: Sequence[int], digest: str) -> Done:
        """Do what a preview of that digest shows, if that is what would be done now."""
        status, answer = self._page.post(
            f"{self._path}/redrive", {**self._body(what, cells), "digest": digest}
        )
        if status == _CONFLICT:
            raise ChangedMeanwhile(answer["preview"])
        return Done(answer["cleared"], answer.get("started") or ())

    def _matrix(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._page.get(f"{self._path}/partitions", {name: one for name, one in asked.items() if one})

    def _body(self, what: str, cells: Sequence[int]) -> dict[str, Any]:
        seen = self.seen
        if len(cells) > _MOST_CHOSEN:
            raise Failure(
                f"{len(cells):,} partitions are more than the webserver takes at once, {_MOST_CHOSEN:,}: select a "
                f"part of them."
            )
        return {
            "what": what,
            "task": seen.task,
            "run": seen.run_id,
            "pieces": [seen.values(cell) for cell in cells],
        }
