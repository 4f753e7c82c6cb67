"""Runs of another DAG, one an item: what they are called, starting them, and waiting for them."""

from __future__ import annotations
