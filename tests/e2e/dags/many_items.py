"""The DAG of many items, without any setting of airflow.cfg."""

from __future__ import annotations

from many_items_shared import many_items

many_items("many_items")
