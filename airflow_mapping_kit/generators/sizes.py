"""The size of a batch, if it is given."""

from __future__ import annotations

from typing import Any

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.sequences import shown


def size_of(given: Any) -> int | None:
    """Return a `batch_size` as a number, `None` if none is given. A template renders to text: `"50"`.

    :raises PartitionError: if it is not a whole number above 0.
    """
    size = given
    if isinstance(size, str):
        text = size.strip()
        size = None if text in ("", "None") else int(text) if text.isdecimal() else size
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise PartitionError(f"batch_size is {shown(given)}: pass a whole number of at least 1")
    return size
