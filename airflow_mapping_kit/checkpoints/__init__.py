"""What is done of a batch, kept where a later try finds it."""

from __future__ import annotations
