"""Airflow's collector of what hooks read and write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import parts
from airflow_mapping_kit.compat.parts import AIRFLOW_3, private

if TYPE_CHECKING:
    from collections.abc import Callable


class Collector(NamedTuple):
    """What is told of lineage.

    :param read: takes whoever read, and the URI.
    :param wrote: takes whoever wrote, and the URI.
    """

    read: Callable[..., None]
    wrote: Callable[..., None]


def lineage_collector() -> Collector | None:
    """Return Airflow's collector, `None` where no plugin reads it: to make one takes Airflow 3 seconds."""
    if parts.switched_off(parts.HOOK_LINEAGE):
        return None
    manager = f"airflow.{'sdk.' if AIRFLOW_3 else ''}plugins_manager"
    if AIRFLOW_3:
        readers = private(f"{manager}:get_hook_lineage_readers_plugins")()
    else:
        private(f"{manager}:initialize_hook_lineage_readers_plugins")()
        readers = private(f"{manager}:hook_lineage_reader_classes")
    if not readers:
        return None
    collector: Any = private(
        f"airflow.{'sdk.lineage' if AIRFLOW_3 else 'lineage.hook'}:get_hook_lineage_collector"
    )()
    # What Airflow 3 calls an asset was a dataset.
    read, wrote = (
        (collector.add_input_asset, collector.add_output_asset)
        if AIRFLOW_3
        else (collector.add_input_dataset, collector.add_output_dataset)
    )
    return Collector(
        lambda context, uri: read(context, uri=uri), lambda context, uri: wrote(context, uri=uri)
    )
