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
        "description": "One DAG over many partitions: generators, labels, safe operators, a fan-in.",
        "versions": [__version__],
        "task-decorators": [
            {"name": "batched", "class-name": "airflow_mapping_kit.operators.batched.batched"},
        ],
        # What Airflow 2's web server may import of a serialized DAG.
        "extra-links": [
            "airflow_mapping_kit.fan_in.links.PartitionsLink",
            "airflow_mapping_kit.operators.dagrun.links.ChildRunsLink",
            "airflow_mapping_kit.operators.dagrun.links.FailedChildRunsLink",
            "airflow_mapping_kit.operators.snowflake.links.QueryLink",
            "airflow_mapping_kit.lineage.console.StoreLink",
        ],
        "triggers": [
            {
                "integration-name": "Mapping Kit",
                "python-modules": ["airflow_mapping_kit.operators.dagrun.trigger"],
            },
        ],
        "config": {
            "mapping_kit": {
                "description": "Facts about the deployment that the mapping kit needs.",
                "options": {
                    "early_labels": {
                        "description": (
                            "Whether instances that wait, run or were killed have the label of their task "
                            "already. If not, they have it when their work is done, as Airflow does it."
                        ),
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "listeners": {
                        "description": (
                            "Whether the kit's listeners run when instances and runs start and end. Without them a "
                            "fan-in knows no errors, and what was killed has no label."
                        ),
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "max_result_kb": {
                        "description": (
                            "How many KiB of JSON the report of a fan-in may have as an XCom, what one item of a "
                            "batch may return, and all items of one as a list. The rows of what is larger are kept "
                            "elsewhere: in storage, else in several XComs, or where collect(..., write_to=...) says."
                        ),
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": None,
                        "default": "1024",
                    },
                    "page": {
                        "description": "Whether Airflow's web server has the page Partitions and what it asks for.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
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
                    "storage": {
                        "description": (
                            "Where plans, results and reports go that are too large for an XCom: a folder in object "
                            "storage that all workers reach, with the Airflow connection before the @. With "
                            "LocalExecutor it may be a folder of the machine. Empty: mapping_kit in [common.io] "
                            "xcom_objectstorage_path; without that they are kept among Airflow's XComs."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@bucket/mapping_kit",
                        "default": "",
                    },
                },
            },
        },
    }
