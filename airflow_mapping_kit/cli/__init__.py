"""The command `mapping-kit`: what a run would do, what became of its pieces, and doing again what failed.

Nothing here imports Airflow before a command runs: `--help` answers at once.
"""

from __future__ import annotations
