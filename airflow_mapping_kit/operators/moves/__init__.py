"""Moving objects from prefix to prefix: what goes where, when two objects are the same, and each single move."""

from __future__ import annotations
