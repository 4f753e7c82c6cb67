"""What a history asks Airflow's tables: each question is one query, however many runs and pieces there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, custom_xcom_backend, xcom_model

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from airflow_mapping_kit.reading.instances import Source

# Values are fetched so many at a time: a plan of a hundred thousand pieces is five megabytes.
_AT_ONCE = 8
INSTANCE = (
    "run_id",
    "task_id",
    "map_index",
    "state",
    "try_number",
    "start_date",
    "end_date",
    "updated_at",
    "duration",
    "max_tries",
)


class Tables:
    """The tables of one DAG's runs.

    :param session: a session of the caller's own.
    :param task_ids: the tasks whose instances are asked for.
    """

    def __init__(self, session: Any, dag_id: str, task_ids: Collection[str]) -> None:
        self.session = session
        self.dag_id = dag_id
        self._task_ids = tuple(task_ids)
        self.queries = 0

    @property
    def tasks(self) -> int:
        """How many tasks work on a piece."""
        return len(self._task_ids)

    def runs(self, limit: int, also: str | None = None) -> list[Any]:
        """Return the runs that were made last, the last one first, and one other."""
        from airflow.models.dagrun import DagRun
        from sqlalchemy import or_, select

        columns = DagRun.__table__.c
        date = columns.logical_date if AIRFLOW_3 else columns.execution_date
        due = columns.run_after if AIRFLOW_3 else columns.execution_date
        own = columns.dag_id == self.dag_id
        names = ("id", "run_id", "run_type", "state", "start_date", "end_date", "queued_at", "conf")
        interval = (columns.data_interval_start, columns.data_interval_end)
        wanted = [*(columns[name] for name in names), date.label("date"), due.label("due"), *interval]
        newest = select(columns.id).where(own).order_by(columns.id.desc()).limit(limit).subquery()
        # MySQL takes no limit within IN, but within a table of its own.
        chosen = columns.id.in_(select(newest.c.id))
        if also is not None:
            chosen = or_(chosen, columns.run_id == also)
        return self.all(select(*wanted).where(own, chosen).order_by(columns.id.desc()))

    def states(self, task_id: str, run_ids: Collection[str]) -> dict[str, str | None]:
        """Return the state that a task that isn't mapped has in each run."""
        from sqlalchemy import select

        columns = instances()
        own = (columns.dag_id == self.dag_id, columns.task_id == task_id, columns.run_id.in_(list(run_ids)))
        return dict(map(tuple, self.all(select(columns.run_id, columns.state).where(*own))))

    def scheduled(self) -> Any:
        """Return what the scheduler keeps of the DAG: whether it is paused, and its next run."""
        from airflow.models.dag import DagModel
        from sqlalchemy import select

        columns = DagModel.__table__.c
        interval = ("next_dagrun_data_interval_start", "next_dagrun_data_interval_end")
        names = ("is_paused", "next_dagrun_create_after", *interval)
        rows = self.all(select(*(columns[name] for name in names)).where(columns.dag_id == self.dag_id))
        return rows[0] if rows else None

    def counts(self, run_ids: Collection[str]) -> list[Any]:
        """Return how many mapped instances of each run are in each state, and when the first and last of them began."""
        from sqlalchemy import func, select

        columns = instances()
        number, first, last = func.count(), func.min(columns.start_date), func.max(columns.start_date)
        return self.all(
            select(
                columns.run_id,
                columns.state,
                number.label("number"),
                first.label("first"),
                last.label("last"),
            )
            .where(*self.of(run_ids), columns.map_index >= 0)
            .group_by(columns.run_id, columns.state)
        )

    def stamps(self, run_ids: Collection[str], wanted: Collection[Source]) -> list[Any]:
        """Return when the XComs were pushed that plans are made of."""
        from sqlalchemy import select

        columns = xcom_model().__table__.c
        names = ("run_id", "task_id", "key", "map_index", "timestamp")
        return self.all(select(*(columns[name] for name in names)).where(*self._pushed(run_ids, wanted)))

    def pushed(self, run_ids: Collection[str], wanted: Collection[Source]) -> Iterator[Any]:
        """Yield the XComs that plans are made of, with their values as the table has them, run by run."""
        from sqlalchemy import select

        columns = xcom_model().__table__.c
        query = (
            select(*xcom_columns(columns))
            .where(*self._pushed(run_ids, wanted))
            .order_by(columns.run_id, columns.map_index)
        )
        self.queries += 1
        options = {"stream_results": True, "yield_per": _AT_ONCE}
        yield from self.session.execute(query, execution_options=options)

    def instances(
        self,
        run_ids: Collection[str],
        *,
        whole: Collection[str] = (),
        since: Iterable[tuple[str, Any]] = (),
    ) -> list[Any]:
        """Return the mapped instances that are no success.

        :param whole: runs of which all are.
        :param since: runs and moments: of those also what began then or later.
        """
        from sqlalchemy import and_, or_, select

        columns = instances()
        late = [and_(columns.run_id == run_id, columns.start_date >= moment) for run_id, moment in since]
        return self.all(
            select(*(columns[name] for name in INSTANCE)).where(
                *self.of(run_ids),
                columns.map_index >= 0,
                or_(
                    columns.state.is_(None),
                    columns.state != "success",
                    columns.run_id.in_(list(whole)),
                    *late,
                ),
            )
        )

    def these(
        self, wanted: Collection[tuple[str, int]], most: int = 2000, *, labelled: bool = False
    ) -> list[Any]:
        """Return some mapped instances of all tasks, by run and map index; more than these where there are many.

        :param labelled: whether with their labels.
        """
        from sqlalchemy import select

        columns = instances()
        indexes = {index for _, index in wanted}
        label = [columns.rendered_map_index.label("label")] if labelled else []
        query = select(*(columns[name] for name in INSTANCE), *label).where(
            *self.of({run_id for run_id, _ in wanted}), columns.map_index >= 0
        )
        if len(indexes) <= most:
            query = query.where(columns.map_index.in_(sorted(indexes)))
        return self.all(query)

    def began(self, run_ids: Collection[str], before: Any) -> dict[tuple[str, int], Any]:
        """Return when the first task of each piece began, by run and map index, of those that did before a moment."""
        from sqlalchemy import func, select

        columns = instances()
        rows = self.all(
            select(columns.run_id, columns.map_index, func.min(columns.start_date))
            .where(*self.of(run_ids), columns.map_index >= 0, columns.start_date < before)
            .group_by(columns.run_id, columns.map_index)
        )
        return {(run_id, map_index): moment for run_id, map_index, moment in rows}

    def all(self, query: Any) -> list[Any]:
        """Return the rows of a query."""
        self.queries += 1
        return list(self.session.execute(query))

    def of(self, run_ids: Collection[str]) -> tuple[Any, ...]:
        """Return what instances of the tasks in some runs have in common."""
        columns = instances()
        return (
            columns.dag_id == self.dag_id,
            columns.task_id.in_(self._task_ids),
            columns.run_id.in_(list(run_ids)),
        )

    def _pushed(self, run_ids: Collection[str], wanted: Collection[Source]) -> tuple[Any, ...]:
        from sqlalchemy import and_, or_

        columns = xcom_model().__table__.c
        places = (and_(columns.task_id == one.task_id, columns.key == one.key) for one in wanted)
        return columns.dag_id == self.dag_id, columns.run_id.in_(list(run_ids)), or_(*places)


def instances() -> Any:
    """Return the columns of the table of instances."""
    from airflow.models.taskinstance import TaskInstance

    return TaskInstance.__table__.c


def xcom_columns(columns: Any, *, plain: bool = False) -> list[Any]:
    """Return what of an XCom is read.

    :param plain: whether it was written past the deployment's backend.
    """
    from sqlalchemy import Text, cast

    # Airflow 3 has a column of JSON, which the driver would read without being asked; a backend wants it read.
    as_text = AIRFLOW_3 and (plain or not custom_xcom_backend())
    value = cast(columns.value, Text).label("value") if as_text else columns.value
    return [*(columns[name] for name in ("run_id", "task_id", "key", "map_index", "dag_id")), value]
