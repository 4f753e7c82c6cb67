"""What the DuckDB operator is made of: the query, the targets it publishes to, and its scratch space."""

from __future__ import annotations
