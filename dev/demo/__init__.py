"""``make demo`` and ``make up``: one DAG loads 93 partitions in parallel into a lake that can be queried."""

from __future__ import annotations
