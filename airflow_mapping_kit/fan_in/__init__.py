"""The task after a mapped task: it reports the outcome of every piece, and fails if too many failed."""

from __future__ import annotations

from airflow_mapping_kit.fan_in.collect import CollectOperator, collect
from airflow_mapping_kit.fan_in.notices import failure_subject, failure_text, report_markdown
from airflow_mapping_kit.fan_in.publish import publish
from airflow_mapping_kit.fan_in.rows import rows

__all__ = [
    "CollectOperator",
    "collect",
    "failure_subject",
    "failure_text",
    "publish",
    "report_markdown",
    "rows",
]
