"""What an instance tells those who collect lineage from hooks: where Airflow has such, and where not at no cost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_mapping_kit.compat import lineage_collector
from airflow_mapping_kit.storage.uris import parsed

if TYPE_CHECKING:
    from airflow_mapping_kit.lineage.datasets import Dataset

# What an Airflow of 2.10 takes in a URI as it is, and what the providers' hooks leave so.
_SAFE = "/!$&'()*+,;=:@%~"

log = logging.getLogger(__name__)


def tell(operator: Any) -> None:
    """Tell the collector of what an operator has read and written, if somebody reads it. Never raises.

    :param operator: has `lineage()`, and in `done` the places that it wrote to
    """
    try:
        collector = lineage_collector()
        if collector is None:
            return
        lineage = operator.lineage()
        for dataset in lineage.inputs:
            collector.read(operator, _uri(dataset))
        done = operator.done
        outputs = lineage.outputs if done.rows or done.partitions else []
        for uri in map(_quoted, done.places) if done.places else map(_uri, outputs):
            collector.wrote(operator, uri)
    except ImportError:
        log.debug("Lineage of %s is not collected: its names take OpenLineage's provider", operator.task_id)
    except Exception as error:  # noqa: BLE001  whatever it is, the work is done
        log.warning("Lineage of %s could not be collected: %s", operator.task_id, type(error).__name__)


def _uri(dataset: Dataset) -> str:
    if dataset.namespace == "file":
        return f"file://{quote(dataset.name, _SAFE)}"
    return f"{dataset.namespace}/{quote(dataset.name.lstrip('/'), _SAFE)}"


def _quoted(place: str) -> str:
    if "://" not in place:
        return f"file://{quote(place, _SAFE)}"
    uri = parsed(place)
    return f"{uri.scheme}://{uri.bucket}/{quote(uri.key, _SAFE)}"
