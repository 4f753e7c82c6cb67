"""The events of assets, and the partitions that they name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import parts
from airflow_mapping_kit.compat.names import AIRFLOW_3, AirflowException

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Airflow looks up each event of an answer by itself, and an answer has five seconds.
_EVENTS_AT_ONCE = 500


def add_partitions(event: Any, keys: Sequence[str]) -> None:
    """Give the event of an outlet the keys of partitions.

    :param event: what `outlet_events` of a context has for an asset, where `takes_partitions`.
    """
    event.add_partitions(list(keys))
    # An event with a key starts no run of a DAG that is scheduled on the asset as a whole, as all are from before
    # 3.3: that takes one without.
    if not isinstance(event.partition_keys, _AndTheWhole):
        event.partition_keys = _AndTheWhole(event.partition_keys)


def added_partitions(event: Any) -> set[str]:
    """Return the keys of partitions that the event of an outlet was given."""
    return {key for key in getattr(event, "partition_keys", ()) if key is not None}


def takes_partitions(event: Any) -> bool:
    """Tell whether the event of an outlet takes the keys of partitions: since Airflow 3.3."""
    return hasattr(event, "add_partitions") and not parts.switched_off(parts.PARTITION_EVENTS)


class _AndTheWhole(set[Any]):
    """Partition keys, and at last none of them: Airflow emits an event for each.

    At last, for the run that it starts takes in what is older.
    """

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        yield None


def triggering_events(context: Mapping[str, Any], asset: Any = None) -> list[Any]:
    """Return the events of assets that started a run.

    :param asset: of which asset alone.
    """
    by_asset = context["triggering_asset_events" if AIRFLOW_3 else "triggering_dataset_events"]
    if asset is None:
        return [event for events in by_asset.values() for event in events]
    # Airflow 2 has them by URI.
    return list(by_asset.get(asset if AIRFLOW_3 else asset.uri, ()))


class Port(NamedTuple):
    """What a task says that it reads: an asset by what is known of it, or an alias by its name."""

    name: str | None
    uri: str | None
    alias: str | None


def ports(inlets: Iterable[Any]) -> list[Port]:
    """Return the assets and aliases among the inlets of a task, as it is declared or serialized."""
    found = []
    for inlet in inlets:
        # Airflow 3.3 leaves those of mapped tasks as they were serialized.
        plain = inlet.get("__var", inlet) if isinstance(inlet, Mapping) else None
        kind = str(inlet.get("__type")) if isinstance(inlet, Mapping) else type(inlet).__name__
        name, uri = (
            value if isinstance(value := _part(inlet if plain is None else plain, part), str) else None
            for part in ("name", "uri")
        )
        if kind.lower().endswith("alias"):
            found.append(Port(None, None, name))
        # Lineage of Airflow 2 has names as well, of things that have no events.
        elif uri is not None or (name is not None and AIRFLOW_3):
            found.append(Port(name, uri, None))
    return found


def _part(inlet: Any, name: str) -> Any:
    return inlet.get(name) if isinstance(inlet, Mapping) else getattr(inlet, name, None)


def follows_assets(dag: Any) -> bool:
    """Tell whether a DAG, declared or serialized, is scheduled on assets, by themselves or beside times."""
    # Airflow 2 gives those that are not a condition that is false.
    return bool(getattr(dag.timetable, "asset_condition" if AIRFLOW_3 else "dataset_condition", None))


def schedule_ports(dag: Any) -> list[Port]:
    """Return the assets and aliases that a DAG is scheduled on, as its file declares it. Since Airflow 3.

    Airflow 2 asks its database what an alias stands for as soon as somebody looks.
    """
    found, waiting = [], [getattr(dag.timetable, "asset_condition", None)]
    while waiting:
        one = waiting.pop(0)
        within = getattr(one, "objects", None)
        if within is None:
            found += ports([one])
        else:
            waiting += within
    return found


def events_of(port: Port, most: int) -> tuple[list[Any], bool]:
    """Return the events of an asset or alias, the newest first, and whether there are more: for a task of Airflow 3.

    :param most: so many at most.
    """
    comms = import_module("airflow.sdk.execution_time.comms")
    supervisor = import_module("airflow.sdk.execution_time.task_runner").SUPERVISOR_COMMS
    found: dict[int, Any] = {}
    before = None
    while len(found) < most:
        wanted = {"before": before, "limit": _EVENTS_AT_ONCE, "ascending": False}
        if port.alias is not None:
            question = comms.GetAssetEventByAssetAlias(alias_name=port.alias, **wanted)
        else:
            question = comms.GetAssetEventByAsset(name=port.name, uri=port.uri, **wanted)
        answer = supervisor.send(question)
        if isinstance(answer, comms.ErrorResponse):
            raise AirflowException(
                f"Airflow doesn't say what changed of {port.alias or port.uri or port.name}: {answer}"
            )
        known = len(found)
        found.update((event.id, event) for event in answer.asset_events)
        # That moment is within the next answer too.
        if len(answer.asset_events) < _EVENTS_AT_ONCE or len(found) == known:
            return list(found.values()), False
        before = answer.asset_events[-1].timestamp
    return list(found.values()), True


class AssetTables(NamedTuple):
    """Airflow's tables of assets and their events; what the columns are called that differ by version."""

    asset: Any
    event: Any
    alias: Any
    aliased: Any  # which assets an alias stands for
    scheduled: Any  # which DAGs are scheduled on an asset
    scheduled_alias: Any
    scheduled_name: Any  # since Airflow 3, as is the next
    scheduled_uri: Any
    asset_id: str


def asset_tables() -> AssetTables:
    """Return Airflow's tables of assets, which Airflow 2 calls datasets."""
    models: Any = import_module("airflow.models.asset" if AIRFLOW_3 else "airflow.models.dataset")
    word = "Asset" if AIRFLOW_3 else "Dataset"

    def table(name: str) -> Any:
        return getattr(models, name.replace("Asset", word)).__table__

    return AssetTables(
        asset=table("AssetModel"),
        event=table("AssetEvent"),
        alias=table("AssetAliasModel"),
        aliased=models.alias_association_table,
        scheduled=table("DagScheduleAssetReference"),
        scheduled_alias=table("DagScheduleAssetAliasReference"),
        scheduled_name=table("DagScheduleAssetNameReference") if AIRFLOW_3 else None,
        scheduled_uri=table("DagScheduleAssetUriReference") if AIRFLOW_3 else None,
        asset_id=f"{word.lower()}_id",
    )
