"""Parts of batches whose place is a function of the test's, for what asks nothing of Airflow."""

from __future__ import annotations

from types import SimpleNamespace

from airflow_mapping_kit.checkpoints.nowhere import Nowhere
from airflow_mapping_kit.checkpoints.part import Part, Span
from airflow_mapping_kit.checkpoints.progress import Results
from airflow_mapping_kit.checkpoints.rows import row_of

# A line of a result without a value has about so many bytes.
LINE = 95


class Saves(Nowhere):
    """Hands the rows that it is to keep to a function."""

    def __init__(self, save, save_bytes):
        super().__init__()
        self._save = save
        self.save_bytes = save_bytes

    def add(self, lines):
        self._save([row_of(line.text) for line in lines])


def results(stop_after=None, save=None, *, count=10_000, save_bytes=1 << 20):
    """Return results that are to be a list."""
    place = Nowhere() if save is None else Saves(save, save_bytes)
    instance = SimpleNamespace(map_index=0, max_tries=0, try_number=1)
    part = Part(place, instance, Span(0, count, count), as_list=True, most_bytes=1 << 30)
    return Results(stop_after, part)
