"""What became of each piece in one run."""

from __future__ import annotations
