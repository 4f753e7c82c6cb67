"""Settings that somebody changes while a run is running, and the rate of its calls."""

from __future__ import annotations
