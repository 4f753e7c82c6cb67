"""Settings of a run at work: what somebody changed while it runs, and the pace of its calls."""

from __future__ import annotations
