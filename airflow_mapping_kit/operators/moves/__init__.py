"""Moving objects: what goes where, when two objects are the same, and each single move."""

from __future__ import annotations
