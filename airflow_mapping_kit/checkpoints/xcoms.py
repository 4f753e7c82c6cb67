"""What is done of a batch, kept among the XComs of the task that made the plan. Airflow 2.x.

An instance's own XComs go when its next try starts. Those of the task that made the plan stay until it runs
again, and with them what was done of it: chunks of results at a time, under keys of their own, named by the process
that wrote them.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.checkpoints.chunks import Chunks, lines_of, packed
from airflow_mapping_kit.compat import own_session
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.plans.batches import keeps_what_is_done
from airflow_mapping_kit.plans.makers import maker_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_mapping_kit.checkpoints.owners import Owner
    from airflow_mapping_kit.checkpoints.rows import Line

log = logging.getLogger(__name__)

_PREFIX = "mapping_kit"
# Where the instance has files, the last part of the key of the XCom that says which.
_FOLDER = "folder"
_FAILED = "failed"
# Of one XCom. Databases and their drivers take a row as a whole.
_BYTES = 256 * 1024


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

    def set(self, name: str, value: str, session: Any) -> None:
        """Keep a text."""
        from airflow.models.xcom import XCom

        XCom.set(
            key=f"{self.counted}{name}",
            value=value,
            dag_id=self.dag_id,
            task_id=self.anchor,
            run_id=self.run_id,
            session=session,
        )

    def keys(self, session: Any) -> list[str]:
        """Return the keys of all its XComs, sorted."""
        from airflow.models.xcom import XCom
        from sqlalchemy import select

        key = XCom.__table__.c.key
        return sorted(session.scalars(select(key).where(*_of(self, self.prefix, XCom.__table__.c))))

    def value(self, key: str, session: Any) -> Any:
        """Return the value of one of its XComs, `None` if the backend of XComs no longer gives it."""
        from airflow.models.xcom import XCom
        from sqlalchemy import select

        table = XCom.__table__
        columns = (table.c[name] for name in ("task_id", "key", "map_index", "value", "dag_id", "run_id"))
        row = session.execute(
            select(*columns).where(*_of(self, self.prefix, table.c), table.c.key == key)
        ).first()
        try:
            return None if row is None else XCom.deserialize_value(row)
        except FileNotFoundError:
            return None


class AmongXComs:
    """The chunks of one instance, as the process that works on it writes them.

    :param owner: whose the instance is.
    """

    outlives_tries = holds_parts = True
    save_bytes = 1 << 20

    def __init__(self, place: Place, owner: Owner | None) -> None:
        self._place = place
        self._owner = owner
        self._who = uuid.uuid4().hex[:8]
        self._own = Chunks(place.anchor, -1, f"{place.counted}{self._who}.", 0, 0, [])
        self._before: list[Chunks] = []
        self._found = False

    @property
    def kept_with(self) -> str:
        """What a log calls the place."""
        return self._place.anchor

    def begin(self) -> None:
        """Do nothing: what another run of the same id had left Airflow has deleted with it."""

    def load(self) -> Iterator[str]:
        """Yield the lines that earlier tries were done with; what they left of failures is not wanted any more."""
        with own_session() as session:
            keys = self._place.keys(session)
            counted = [key for key in keys if key.startswith(self._place.counted)]
            if len(counted) < len(keys):
                # What was there before somebody cleared this instance.
                delete(self._place, session, keys=set(keys) - set(counted))
            self._found = bool(counted)
            for key in counted:
                who, failed, number = _named(key)
                if not failed and number is not None:
                    text = self._place.value(key, session)
                    self._note(f"{self._place.counted}{who}.", number, lost=text is None)
                    yield from () if text is None else lines_of(text)

    def add(self, lines: Sequence[Line]) -> None:
        """Keep lines: all of them, or none.

        :raises Superseded: if the instance is not this process's own any more.
        """
        self._add(lines, lambda _: None, done=False)

    def begin_afresh(self) -> None:
        """Delete what earlier tries left."""
        with own_session() as session:
            delete(self._place, session)
        self._before, self._found = [], False

    def finish(self, lines: Sequence[Line], keep: Callable[[int], bool]) -> dict[str, Any]:  # noqa: ARG002 -- all count
        """Keep what is not kept yet; return what a summary says of where all is."""
        self._add(lines, self._delete_failures_of_others, done=True)
        return {
            "where": "xcom",
            "failed_in": None,
            "chunks": [list(one) for one in (*self._before, self._own)],
        }

    def succeeded(self) -> None:
        """Delete nothing: see `checkpoint.succeeded`."""

    def _add(self, lines: Sequence[Line], also: Callable[[Any], None], *, done: bool) -> None:
        kinds: dict[bool, list[str]] = {True: [], False: []}
        for line in lines:
            kinds[line.done].append(line.text)
        finished, failed = (list(packed(kinds[kind], _BYTES)) for kind in (True, False))
        own = self._own
        with own_session() as session:
            if self._owner is not None:
                self._owner.check(done=done, session=session)
            for number, chunk in enumerate(finished, own.done):
                self._place.set(f"{self._who}.{number}", "\n".join(chunk), session)
            for number, chunk in enumerate(failed, own.failed):
                self._place.set(f"{self._who}.{_FAILED}.{number}", "\n".join(chunk), session)
            also(session)
        self._own = own._replace(done=own.done + len(finished), failed=own.failed + len(failed))

    def _note(self, prefix: str, number: int, *, lost: bool) -> None:
        if lost:
            log.warning(
                "The XCom backend no longer returns the checkpoint of items that are done: these items run again."
            )
        at = next((i for i, one in enumerate(self._before) if one.prefix == prefix), None)
        if at is None:
            at = len(self._before)
            self._before.append(Chunks(self._place.anchor, -1, prefix, 0, 0, []))
        one = self._before[at]
        self._before[at] = one._replace(
            done=max(one.done, number + 1), without=[*one.without, *([number] if lost else [])]
        )

    def _delete_failures_of_others(self, session: Any) -> None:
        if not self._found:
            return
        stale = {
            key
            for key in self._place.keys(session)
            if _named(key)[1] and not key.startswith(self._own.prefix)
        }
        if stale:
            delete(self._place, session, keys=stale)


class Pointed:
    """Which folder of files an instance has, among the XComs of the task that made the plan."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def read(self) -> str | None:
        """Return the folder's name that counts since somebody cleared the instance, if one does."""
        with own_session() as session:
            name = self._place.value(f"{self._place.counted}{_FOLDER}", session)
        return name if isinstance(name, str) else None

    def write(self, name: str) -> None:
        """Keep the folder's name."""
        with own_session() as session:
            self._place.set(_FOLDER, name, session)

    def delete(self) -> None:
        """Forget nothing: see `checkpoint.succeeded`."""


def place_of(declared: Any, *, run_id: str, map_index: int, max_tries: int) -> Place | None:
    """Return where the checkpoint of an instance is, `None` if nothing can keep one.

    :param declared: its operator, as the DAG keeps it.
    """
    anchor = maker_of(declared) if keeps_what_is_done(declared) else None
    if anchor is None:
        return None
    return Place(declared.dag.dag_id, run_id, anchor, declared.task_id, map_index, max_tries)


def left_by(declared: Any, *, run_id: str, map_index: int, max_tries: int) -> Iterator[str]:
    """Yield the lines that an instance left: what is done first.

    :param declared: its operator, as the DAG keeps it.
    """
    place = place_of(declared, run_id=run_id, map_index=map_index, max_tries=max_tries)
    if place is None:
        return
    with own_session() as session:
        keys = [key for key in place.keys(session) if key.startswith(place.counted)]
        for wanted in (False, True):
            for key in keys:
                _, failed, number = _named(key)
                if failed is wanted and number is not None:
                    try:
                        yield from lines_of(place.value(key, session))
                    except StorageError as error:
                        log.warning("%s", error)


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


def delete(place: Place, session: Any, *, keys: set[str] | None = None) -> None:
    """Delete what was saved of this very instance.

    :param keys: only these. Default: all.
    """
    from airflow.models.xcom import XCom
    from sqlalchemy import select

    query = select(XCom).where(*_of(place, place.prefix, XCom))
    for xcom in session.scalars(query if keys is None else query.where(XCom.key.in_(keys))):
        # A backend of the deployment's own may keep the value elsewhere.
        XCom.purge(xcom, session)
        session.delete(xcom)


def _named(key: str) -> tuple[str, bool, int | None]:
    """Return who wrote a chunk, whether it is of failures, and its number; no number of what is none."""
    who, *rest = key.rpartition("/")[2].split(".")
    return who, rest[:1] == [_FAILED], int(rest[-1]) if rest else None


def _of(place: Place, prefix: str, columns: Any) -> tuple[Any, ...]:
    return (
        columns.dag_id == place.dag_id,
        columns.run_id == place.run_id,
        columns.task_id == place.anchor,
        columns.key.startswith(prefix, autoescape=True),
    )
