"""What is mapped: its pieces in map-index order, and what became of each."""

from __future__ import annotations
