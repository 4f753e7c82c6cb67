"""The command without its script, for a folder on PYTHONPATH: `python -m airflow_mapping_kit.cli`."""

from __future__ import annotations

from airflow_mapping_kit.cli.program import main

main()
