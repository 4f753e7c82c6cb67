"""What the pieces of a mapped task are: its arguments, its plan, its batches, what they are called and labelled."""

from __future__ import annotations
