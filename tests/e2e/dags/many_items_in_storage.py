"""The same DAG with `[mapping_kit] storage`, which only the processes that read this file have."""

from __future__ import annotations

import os

os.environ["AIRFLOW__MAPPING_KIT__STORAGE"] = "s3://e2e_s3@lake/mapping_kit"

from many_items_shared import many_items

many_items("many_items_in_storage")
