"""What an instance tells OpenLineage: imported only where Airflow's provider for it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset as Plain
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    OutputDatasetFacet,
    dataset_version_dataset,
    external_query_run,
    symlinks_dataset,
)
from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

from airflow_mapping_kit.compat import hidden_names, redacted
from airflow_mapping_kit.lineage.done import MAX_NAMED
from airflow_mapping_kit.partitions.hidden import hide

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mapping_kit.lineage.datasets import Dataset, Lineage
    from airflow_mapping_kit.lineage.done import Done

# Characters of a name, or of a value of a partition.
_LONGEST = 500
_SPEC = "https://openlineage.io/spec/facets/1-0-0/BaseSubsetDatasetFacet.json#/$defs"


@attr.define
class _Subset(OutputDatasetFacet):
    """Which part of a dataset was written, as OpenLineage's `subset` has it: older clients have no class for it."""

    outputCondition: dict[str, Any]  # noqa: N815  its name there

    @staticmethod
    def _get_schema() -> str:
        return f"{_SPEC}/OutputSubsetOutputDatasetFacet"


def operator_lineage(lineage: Lineage, done: Done | None) -> Any:
    """Return what the provider asks an operator for.

    :param lineage: what it reads and writes
    :param done: what it has done; the facets of a dataset that it wrote are of the first of `lineage`
    """
    inputs: Any = [
        InputDataset(dataset.namespace, _shown(dataset.name)) for dataset in lineage.inputs[:MAX_NAMED]
    ]
    outputs: Any = [
        _output(dataset, done if number == 0 else None) for number, dataset in enumerate(lineage.outputs)
    ]
    query = None if done is None else done.query_id
    facets: Any = {}
    if query is not None:
        source = outputs[0].namespace
        facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(query, source)
    return OperatorLineage(inputs=inputs, outputs=outputs, run_facets=facets)


def _output(dataset: Dataset, done: Done | None) -> Plain:
    facets: dict[str, Any] = {}
    if dataset.alias is not None:
        one = symlinks_dataset.Identifier(dataset.alias[0], _shown(dataset.alias[1]), "TABLE")
        facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet([one])
    if dataset.version is not None:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version)
    return OutputDataset(dataset.namespace, _shown(dataset.name), facets=facets, outputFacets=_written(done))


def _written(done: Done | None) -> dict[str, Any]:
    if done is None or not (done.rows or done.bytes or done.partitions or done.places):
        return {}
    counts: dict[str, Any] = {"rowCount": done.rows, "size": done.bytes}
    known = {field.name for field in attr.fields(statistics.OutputStatisticsOutputDatasetFacet)}
    if "fileCount" in known:
        counts["fileCount"] = done.files
    facets: dict[str, Any] = {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(**counts)}
    condition = _condition(done)
    if condition is not None:
        facets["subset"] = _Subset(outputCondition=condition)
    return facets


def _condition(done: Done) -> dict[str, Any] | None:
    if done.partitions:
        names = hidden_names()
        partitions = [
            {"identifier": _shown(key), "dimensions": _values(hide(partition, names))}
            for key, partition in done.partitions
        ]
        return {"type": "partition", "partitions": partitions}
    if done.places:
        return {"type": "location", "locations": _all(done.places)}
    return None


def _values(partition: dict[str, Any]) -> dict[str, Any]:
    return {
        _shown(name): _shown(value) if isinstance(value, str) else value for name, value in partition.items()
    }


def _all(texts: Iterable[str]) -> list[str]:
    return [_shown(text) for text in texts]


def _shown(text: str) -> str:
    """Return a text without what Airflow hides, cut where it is long, and such that every store can hold it."""
    plain = redacted(text).encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"
