"""What a mapped instance was mapped over."""

from __future__ import annotations
