"""What others are told of an instance: which datasets it read and wrote, how much, and where it can be looked at."""

from __future__ import annotations
