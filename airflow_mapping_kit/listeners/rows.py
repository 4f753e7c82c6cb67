"""The labels of the instances of a run in the database, many at once, in the midst of Airflow's own work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# So many labels go into one statement.
_CHUNK = 500


class Labels(NamedTuple):
    """The labels of the mapped instances of a run.

    :param connection: one to the metadata database, in a transaction.
    """

    connection: Any
    dag_id: str
    run_id: str

    def read(
        self,
        task_ids: Collection[str],
        *,
        states: Collection[str | None] = (),
        missing: bool = False,
    ) -> dict[tuple[str, int], str | None]:
        """Return labels by task and map index, and lock their rows; what somebody else has locked is left out.

        :param states: of the instances in these states alone; `None` is that of one that waits.
        :param missing: whether of those without a label alone.
        """
        from sqlalchemy import or_, select

        columns = self._columns()
        query = (
            select(columns.task_id, columns.map_index, columns.rendered_map_index)
            .where(*self._run(), columns.task_id.in_(task_ids), columns.map_index >= 0)
            # Whoever holds such a row may be waiting for this very transaction.
            .with_for_update(skip_locked=True)
        )
        if states:
            query = query.where(or_(*(columns.state == state for state in states)))
        if missing:
            query = query.where(columns.rendered_map_index.is_(None))
        return {(task_id, index): label for task_id, index, label in self.connection.execute(query)}

    def write(self, labels: Mapping[tuple[str, int], str | None]) -> None:
        """Write labels by task and map index; `None` takes one away."""
        from sqlalchemy import case, null, update

        columns = self._columns()
        by_task: dict[str, list[tuple[int, str | None]]] = {}
        for (task_id, map_index), label in labels.items():
            by_task.setdefault(task_id, []).append((map_index, label))
        for task_id, of_task in by_task.items():
            for start in range(0, len(of_task), _CHUNK):
                part = dict(of_task[start : start + _CHUNK])
                known = {index: label for index, label in part.items() if label is not None}
                self.connection.execute(
                    update(columns.map_index.table)
                    .where(*self._run(), columns.task_id == task_id, columns.map_index.in_(part))
                    .values(rendered_map_index=case(known, value=columns.map_index) if known else null())
                )

    def _columns(self) -> Any:
        from airflow.models.taskinstance import TaskInstance

        return TaskInstance.__table__.c

    def _run(self) -> tuple[Any, ...]:
        columns = self._columns()
        return columns.dag_id == self.dag_id, columns.run_id == self.run_id
