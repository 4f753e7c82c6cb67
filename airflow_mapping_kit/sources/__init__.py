"""Sources of items, as iterators that hold a few rows at a time: files, queries, S3 inventories."""

from __future__ import annotations
