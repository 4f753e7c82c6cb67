"""`python -m airflow_mapping_kit.lint`: the lint without anything else installed."""

from __future__ import annotations

import sys

from airflow_mapping_kit.lint.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
