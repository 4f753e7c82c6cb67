"""The names that OpenLineage has for places in stores: the same for whoever reads or writes there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from airflow_mapping_kit.storage.uris import AZURE, GOOGLE, parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mapping_kit.tables.described import Table

# A component of a path that stands for several: a glob, or a directory of a partition.
_SEVERAL = re.compile(r"[*?\[{]|^[^=]+=")
_PATH = re.compile(r"(?:[/\\]|\.[\w.]+$)|^~")
_SCHEMES = {**dict.fromkeys(("s3", "s3a", "s3n"), "s3"), **dict.fromkeys(GOOGLE, "gs")}


class Dataset(NamedTuple):
    """One dataset.

    :param alias: what a catalog calls it: its namespace and the name there
    :param version: which version of it was made
    """

    namespace: str
    name: str
    alias: tuple[str, str] | None = None
    version: str | None = None


class Lineage(NamedTuple):
    """What an instance reads, and what it writes into."""

    inputs: Sequence[Dataset] = ()
    outputs: Sequence[Dataset] = ()


def dataset_of(place: str) -> Dataset:
    """Return the dataset at a path or an URI, without what tells how to log in there.

    `s3://aws@lake/flights/` gives `Dataset("s3://lake", "flights")`, `lake/flights` gives `Dataset("file",
    "/opt/airflow/lake/flights")` where the worker runs in `/opt/airflow`.
    """
    if "://" not in place:
        return Dataset("file", str(Path(place).absolute()))
    uri = parsed(place)
    if uri.scheme == "file":
        return Dataset("file", f"/{uri.key}")
    if uri.scheme in ("http", "https"):
        split = urlsplit(place)
        return Dataset(f"{uri.scheme}://{uri.bucket}", split.path or "/")
    scheme = "abfss" if uri.scheme in AZURE else _SCHEMES.get(uri.scheme, uri.scheme)
    return Dataset(f"{scheme}://{uri.bucket}", uri.key.strip("/") or "/")


def sources_of(paths: Iterable[str]) -> list[Dataset]:
    """Return the datasets of the files that a query names, each once.

    A glob is its folder, and so are the directories of partitions: `s3://raw/flights/date=*/*.csv` gives
    `Dataset("s3://raw", "flights")`.
    """
    found: dict[Dataset, None] = {}
    for path in paths:
        scheme, slashes, rest = path.rpartition("://")
        first, *others = rest.split("/")
        kept = [first]
        for other in others:
            if _SEVERAL.search(other):
                break
            kept.append(other)
        if slashes or not _SEVERAL.search(first):
            found[dataset_of(f"{scheme}{slashes}{'/'.join(kept) or '/'}")] = None
    return list(found)


def looks_like_path(name: str) -> bool:
    """Tell whether DuckDB takes the name of a table for a file: `data/flights.parquet`, not `flights`."""
    return bool(_PATH.search(name))


def dataset_of_table(table: Table, version: Any = None) -> Dataset:
    """Return the dataset that a table of a lake is: where its files are, and what its catalog calls it.

    :param version: the snapshot, if one was just made
    """
    where: Any = table.get("uri") or table.get("location") or table["name"]
    if table["mapping_kit_table"] == "delta":
        where = table["name"]
    place = dataset_of(str(where).removesuffix("/data"))
    conn_id = table.get("conn_id")
    return Dataset(
        place.namespace,
        place.name,
        None if conn_id is None else (f"{table['mapping_kit_table']}:{conn_id}", table["name"]),
        None if version is None else str(version),
    )
