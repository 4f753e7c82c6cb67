"""How the items of a batch are worked on: each for itself, some at a time, none taking the others down."""

from __future__ import annotations
