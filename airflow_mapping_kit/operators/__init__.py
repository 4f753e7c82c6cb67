"""Operators that do one partition safely."""

from __future__ import annotations
