"""Tasks that return a plan."""

from __future__ import annotations
