"""Pure partition math, standard library only."""

from __future__ import annotations
