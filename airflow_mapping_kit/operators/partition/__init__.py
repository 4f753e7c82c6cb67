"""What operators share that run one query for a partition, or for each of a batch, and put its rows somewhere."""

from __future__ import annotations
