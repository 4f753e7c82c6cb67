"""What is done of a batch, kept among the XComs of the task that made the plan. Airflow 2.x.

An instance's own XComs go when its next try starts. Those of the task that made the plan stay until it runs
again, and with them what was done of it: a row of results at a time, under keys of their own.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import own_session
from airflow_mapping_kit.plans.batches import keeps_what_is_done
from airflow_mapping_kit.plans.makers import maker_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.results import ItemResult

log = logging.getLogger(__name__)

_PREFIX = "mapping_kit"


class Place(NamedTuple):
    """Where the checkpoint of an instance is.

    :param anchor: the task that keeps it.
    :param max_tries: how many tries the instance has. A person who clears it changes that, a retry doesn't.
    """

    dag_id: str
    run_id: str
    anchor: str
    task_id: str
    map_index: int
    max_tries: int

    @property
    def prefix(self) -> str:
        """What the keys of all its XComs begin with, those too from before somebody cleared the instance."""
        return f"{_PREFIX}/{self.task_id}/{self.map_index}/"

    @property
    def counted(self) -> str:
        """What the keys begin with of those that count: what is in a key changes without the backend's values."""
        return f"{self.prefix}{self.max_tries}/"

    @property
    def kept_with(self) -> str:
        """What a log calls it."""
        return self.anchor

    def load(self) -> list[ItemResult]:
        """Return what was saved of the instance since somebody cleared it, if at all."""
        from airflow.models.xcom import XCom
        from sqlalchemy import select

        table = XCom.__table__
        columns = (table.c[name] for name in ("task_id", "key", "map_index", "value", "dag_id", "run_id"))
        with own_session() as session:
            rows = session.execute(select(*columns).where(*_of(self, self.counted, table.c))).all()
        return [result for row in rows for result in _results_of(row)]

    def save(self, results: Sequence[ItemResult]) -> None:
        """Add to what was saved of the instance."""
        from airflow.models.xcom import XCom

        with own_session() as session:
            # Chunks are added, not rewritten: were all of it written each time, it would be written very often.
            XCom.set(
                key=f"{self.counted}{uuid.uuid4().hex}",
                value=list(results),
                dag_id=self.dag_id,
                task_id=self.anchor,
                run_id=self.run_id,
                session=session,
            )

    def delete(self) -> None:
        """Delete all that was saved of the instance, by itself."""
        with own_session() as session:
            delete(self, session)


def place_of(declared: Any, *, run_id: str, map_index: int, max_tries: int) -> Place | None:
    """Return where the checkpoint of an instance is, `None` if nothing can keep one.

    :param declared: its operator, as the DAG keeps it.
    """
    anchor = maker_of(declared) if keeps_what_is_done(declared) else None
    if anchor is None:
        return None
    return Place(declared.dag.dag_id, run_id, anchor, declared.task_id, map_index, max_tries)


def places(dag_id: str, run_id: str, session: Any) -> dict[tuple[str, int], list[Place]]:
    """Return where something is saved of instances of a run, by task id and map index: in one query."""
    from airflow.models.xcom import XCom
    from sqlalchemy import select

    columns = XCom.__table__.c
    query = select(columns.task_id, columns.key).where(
        columns.dag_id == dag_id,
        columns.run_id == run_id,
        columns.key.startswith(f"{_PREFIX}/", autoescape=True),
    )
    found: dict[tuple[str, int], dict[Place, None]] = {}
    for anchor, key in session.execute(query):
        # Neither ids of tasks nor numbers have a slash.
        _, task_id, index, max_tries, _ = key.split("/")
        place = Place(dag_id, run_id, anchor, task_id, int(index), int(max_tries))
        found.setdefault((task_id, place.map_index), {})[place] = None
    return {of: list(them) for of, them in found.items()}


def keep(place: Place, max_tries: int, session: Any) -> None:
    """Let what was saved of an instance stand although somebody clears it: what is done stays done.

    :param place: of the instance as it was before it was cleared.
    :param max_tries: how many tries it has since.
    :param session: that of the transaction that clears it.
    """
    from airflow.models.xcom import XCom
    from sqlalchemy import func, literal, update

    table, counted = XCom.__table__, place._replace(max_tries=max_tries).counted
    session.execute(
        update(table)
        .where(*_of(place, place.counted, table.c))
        .values(key=literal(counted) + func.substr(table.c.key, len(place.counted) + 1))
    )


def delete(place: Place, session: Any) -> None:
    """Delete all that was saved of this very instance."""
    from airflow.models.xcom import XCom
    from sqlalchemy import select

    for xcom in session.scalars(select(XCom).where(*_of(place, place.prefix, XCom))):
        # A backend of the deployment's own may keep the value elsewhere.
        XCom.purge(xcom, session)
        session.delete(xcom)


def _results_of(row: Any) -> list[ItemResult]:
    from airflow.models.xcom import XCom

    try:
        results = XCom.deserialize_value(row)
    except FileNotFoundError:
        results = None
    if isinstance(results, list):
        return results
    log.warning(
        "The XCom backend no longer gives what it was handed of items that are done: they are worked on again."
    )
    return []


def _of(place: Place, prefix: str, columns: Any) -> tuple[Any, ...]:
    return (
        columns.dag_id == place.dag_id,
        columns.run_id == place.run_id,
        columns.task_id == place.anchor,
        columns.key.startswith(prefix, autoescape=True),
    )
