"""Where items come from, each as an iterator that holds a few rows at a time: files, queries, S3 inventories."""

from __future__ import annotations
