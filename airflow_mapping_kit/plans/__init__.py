"""The pieces of a mapped task: its arguments, its plan, its batches, and their keys and labels."""

from __future__ import annotations
