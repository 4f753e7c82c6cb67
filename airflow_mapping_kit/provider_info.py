"""What `airflow providers list` and `airflow config list` know of the kit.

Imports nothing but the version: Airflow asks every process for it.
"""

from __future__ import annotations

from typing import Any

from airflow_mapping_kit import __version__


def get_provider_info() -> dict[str, Any]:
    """Return the metadata that Airflow asks a provider package for."""
    return {
        "package-name": "airflow-mapping-kit",
        "name": "Mapping Kit",
        "description": "One DAG over many partitions: generators, labels, safe operators.",
        "versions": [__version__],
        "config": {
            "mapping_kit": {
                "description": "Facts about the deployment that the mapping kit's operators need.",
                "options": {
                    "scratch_folder": {
                        "description": (
                            "Where a worker keeps files while it works on a partition: what DuckDB spills "
                            "beyond its memory limit, and a Parquet file until it is uploaded. "
                            "Empty: the system's folder for temporary files."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/mnt/scratch",
                        "default": "",
                    },
                },
            },
        },
    }
