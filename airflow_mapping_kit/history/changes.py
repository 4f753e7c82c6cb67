"""The events of the assets that a DAG reads: which partitions changed when. Two queries, however many there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.assets import EXTRA, keys_of
from airflow_mapping_kit.compat import AIRFLOW_3, asset_tables, follows_assets, ports
from airflow_mapping_kit.compat.parts import STALE, switched_off
from airflow_mapping_kit.partitions.keys import CUT_LENGTH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from airflow_mapping_kit.compat.assets import Port

# What is read of a DAG's events at most, the newest first; what is older is not known, and said so.
MOST_EVENTS = 20_000
MOST_KEYS = 200_000
_AT_ONCE = 500


class Upstream(NamedTuple):
    """What the tasks of a DAG read: the assets that it is scheduled on, and their inlets."""

    dag_id: str
    scheduled: bool
    inlets: tuple[Port, ...]

    def __bool__(self) -> bool:
        return self.scheduled or bool(self.inlets)


class Changes(NamedTuple):
    """Which partitions of what a DAG reads changed.

    :param newest: when each changed last, by key
    :param silent: of the assets that changed without saying which partitions, when they did last, by URI
    :param since: what is older was not read; `None` if all of it was
    :param queries: how many it took
    """

    newest: dict[str, datetime]
    silent: dict[str, datetime]
    since: datetime | None
    queries: int


def upstream(dag: Any, task_ids: Collection[str]) -> Upstream:
    """Return what some tasks of a DAG read: by its schedule, and by their inlets and those of what is before them.

    :param dag: the DAG, as it is declared or serialized.
    """
    if switched_off(STALE):
        return Upstream(dag.dag_id, False, ())
    tasks = dict.fromkeys(task_ids)
    for task_id in task_ids:
        tasks.update(dict.fromkeys(dag.get_task(task_id).get_flat_relative_ids(upstream=True)))
    inlets = [port for task_id in sorted(tasks) for port in ports(dag.get_task(task_id).inlets or ())]
    return Upstream(dag.dag_id, follows_assets(dag), tuple(dict.fromkeys(inlets)))


def changes(upstream: Upstream, since: datetime | None, session: Any) -> Changes:
    """Return what changed of what a DAG reads, by others than itself.

    :param since: what is older than that isn't asked for.
    """
    uris = _assets(upstream, session) if upstream else {}
    if not uris:
        return Changes({}, {}, None, int(bool(upstream)))
    newest: dict[str, datetime] = {}
    silent: dict[tuple[Any, ...], datetime] = {}
    spoke: set[tuple[Any, ...]] = set()
    last: datetime | None = None
    for number, event in enumerate(_events(upstream, uris, since, session), 1):
        source = (uris[event.asset_id], event.source_run_id, event.source_task_id, event.source_map_index)
        keys = keys_of(event)
        for key in keys:
            newest.setdefault(key, event.timestamp)
        if keys:
            spoke.add(source)
        else:
            silent.setdefault(source, event.timestamp)
        if number >= MOST_EVENTS or len(newest) >= MOST_KEYS:
            last = event.timestamp
            break
    # On Airflow 3.3 the kit tells partitions in events of their own, and then that there was a change.
    said_nothing = {source: moment for source, moment in silent.items() if source not in spoke}
    by_uri: dict[str, datetime] = {}
    for (uri, *_), moment in said_nothing.items():
        by_uri[uri] = max(moment, by_uri.get(uri, moment))
    return Changes(newest, by_uri, last, queries=2)


def mark(upstream: Upstream, session: Any) -> tuple[int, datetime | None]:
    """Return what changes whenever there is a new event of what a DAG reads: how many there are, and the newest."""
    from sqlalchemy import func, select

    if not upstream:
        return 0, None
    tables = asset_tables()
    event = tables.event.c
    assets = _asset_query(upstream, tables).with_only_columns(tables.asset.c.id)
    row = session.execute(
        select(func.count(), func.max(event.timestamp)).where(event[tables.asset_id].in_(assets))
    ).one()
    return row[0], row[1]


def _assets(upstream: Upstream, session: Any) -> dict[int, str]:
    """Return the URIs of the assets that a DAG reads, by their ids."""
    tables = asset_tables()
    return {row.id: row.uri for row in session.execute(_asset_query(upstream, tables))}


def _asset_query(upstream: Upstream, tables: Any) -> Any:
    from sqlalchemy import and_, or_, select

    asset, alias, aliased = tables.asset.c, tables.alias.c, tables.aliased.c
    wanted: list[Any] = []
    if upstream.scheduled:
        here = tables.scheduled.c
        wanted.append(asset.id.in_(select(here[tables.asset_id]).where(here.dag_id == upstream.dag_id)))
        here = tables.scheduled_alias.c
        aliases = select(here.alias_id).where(here.dag_id == upstream.dag_id)
        wanted.append(asset.id.in_(select(aliased[tables.asset_id]).where(aliased.alias_id.in_(aliases))))
        if AIRFLOW_3:
            here = tables.scheduled_name.c
            wanted.append(asset.name.in_(select(here.name).where(here.dag_id == upstream.dag_id)))
            here = tables.scheduled_uri.c
            wanted.append(asset.uri.in_(select(here.uri).where(here.dag_id == upstream.dag_id)))
    for name, uri, named in upstream.inlets:
        if named is not None:
            aliases = select(alias.id).where(alias.name == named)
            wanted.append(asset.id.in_(select(aliased[tables.asset_id]).where(aliased.alias_id.in_(aliases))))
        else:
            wanted.append(
                and_(
                    *([asset.uri == uri] if uri is not None else ()),
                    *([asset.name == name] if name is not None and AIRFLOW_3 else ()),
                )
            )
    return select(asset.id, asset.uri).where(or_(*wanted))


class _Event(NamedTuple):
    asset_id: int
    timestamp: datetime
    source_run_id: str | None
    source_task_id: str | None
    source_map_index: int | None
    partition_key: str | None
    extra: Mapping[str, Any] | None


def _events(
    upstream: Upstream, uris: Iterable[int], since: datetime | None, session: Any
) -> Iterator[_Event]:
    from sqlalchemy import Text, case, cast, literal, null, or_, select

    tables = asset_tables()
    event = tables.event.c
    text = cast(event.extra, Text)
    # Only since Airflow 3.3 there are events of a partition. Their `extra` is looked at only where the key was cut.
    key = event.partition_key if "partition_key" in event else literal(None)
    cut = key.like(f"%#~{'_' * (CUT_LENGTH - 2)}") if "partition_key" in event else null()
    tells = text.contains(f'"{EXTRA}"', autoescape=True)
    query = (
        select(
            event[tables.asset_id],
            event.timestamp,
            event.source_run_id,
            event.source_task_id,
            event.source_map_index,
            key,
            case((or_(tells, cut), text), else_=None),
        )
        .where(
            event[tables.asset_id].in_(list(uris)),
            or_(event.source_dag_id.is_(None), event.source_dag_id != upstream.dag_id),
            *([event.timestamp > since] if since is not None else ()),
        )
        .order_by(event.timestamp.desc(), event.id.desc())
        .limit(MOST_EVENTS)
    )
    # What one task tells in many events is the same text.
    known: dict[str, Mapping[str, Any] | None] = {}
    rows = session.execute(query, execution_options={"stream_results": True, "yield_per": _AT_ONCE})
    for *columns, extra in rows:
        if extra is None:
            yield _Event._make([*columns, None])
            continue
        if extra not in known:
            known.clear()
            known[extra] = _plain(extra)
        yield _Event._make([*columns, known[extra]])


def _plain(extra: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(extra)
    except ValueError:
        return None
    return value if isinstance(value, Mapping) else None
