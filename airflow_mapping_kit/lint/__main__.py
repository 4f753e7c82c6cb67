"""`python -m airflow_mapping_kit.lint`: the lint without anything else installed."""

from __future__ import annotations

from airflow_mapping_kit.lint.program import run

if __name__ == "__main__":
    run()
