"""The events of assets, and the partitions that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import parts
from airflow_mapping_kit.compat.names import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


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
