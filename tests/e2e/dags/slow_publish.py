"""One partition whose file takes long enough to write that a test can kill the writer."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag
from airflow_mapping_kit.generators import product
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator


@dag(
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    params={"rows": 10, "target": ""},
    default_args={"retries": 1, "retry_delay": 0},
    render_template_as_native_obj=True,
)
def slow_publish():
    DuckDBPartitionOperator.partial(
        task_id="load",
        sql="SELECT range AS id, md5(range::VARCHAR) AS hash FROM range($rows) WHERE $name = 'slow'",
        parameters={"rows": "{{ params.rows }}"},
        target="{{ params.target }}",
        map_index_template=label("{name}"),
    ).expand(partition=product(name=["slow"]))


slow_publish()
