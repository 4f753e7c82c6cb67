"""What has to run again, and clearing just that."""

from __future__ import annotations
