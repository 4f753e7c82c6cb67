"""What the example of a table needs: the table, a later delivery of flights, and somebody who looks on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pyiceberg.table import Table
    from typing_extensions import Self

    from stack.catalog import Catalog

NAMESPACE = "lake"
NAME = "lake.flights"
# Distances are shorter than that, so it may tell which load a row is of.
LOAD = 10_000

AGAIN = """
SELECT * FROM read_parquet($source)
WHERE origin = $origin AND dep_delay IS NOT NULL AND NOT list_contains($without, date::VARCHAR)
"""


def make_table(catalog: Catalog, name: str = NAME) -> Table:
    """Make the table, partitioned by day and origin."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import DateType, IntegerType, NestedField, StringType

    columns = {
        "origin": StringType(),
        "date": DateType(),
        "carrier": StringType(),
        "flight": IntegerType(),
        "dest": StringType(),
        "dep_delay": IntegerType(),
        "arr_delay": IntegerType(),
        "distance": IntegerType(),
    }
    schema = Schema(*(NestedField(number, *column) for number, column in enumerate(columns.items(), 1)))
    spec = PartitionSpec(
        PartitionField(2, 1000, IdentityTransform(), "date"),
        PartitionField(1, 1001, IdentityTransform(), "origin"),
    )
    client = catalog.client()
    client.create_namespace_if_not_exists(NAMESPACE)
    return client.create_table(name, schema, partition_spec=spec)


def deliver_again(source: Path, to: Path, *, origin: str, without: Sequence[str]) -> None:
    """Write the flights of one origin once more: only those that left, and nothing of some days."""
    import duckdb

    given = {"source": str(source), "origin": origin, "without": list(without)}
    duckdb.sql(AGAIN, params=given).write_parquet(str(to))


class Reader:
    """Look at a table all the time, at what its rows say of which load they are.

    ``loads`` has of each look the loads that it saw, in the order of the looks: two at once are a mixture.

    :param table: whose distances are those of the source and 10,000 times the number of the load.
    :param every: seconds between two looks.
    """

    def __init__(self, table: Table, *, every: float) -> None:
        self.loads: list[frozenset[int]] = []
        self._table = table
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def mixtures(self) -> int:
        """How many looks saw more than one load."""
        return sum(len(loads) > 1 for loads in self.loads)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        import pyarrow.compute as pc

        while not self._ended.is_set():
            distances = self._table.refresh().scan(selected_fields=("distance",)).to_arrow()["distance"]
            self.loads.append(frozenset(pc.unique(pc.divide(distances, LOAD)).to_pylist()))
            self._ended.wait(self._every)
