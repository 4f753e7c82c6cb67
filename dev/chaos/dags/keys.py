"""Keys of S3: moved within it, and loaded into Snowflake."""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import s3_keys
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator
from airflow_mapping_kit.operators.snowflake import S3KeysToSnowflakeOperator

AGAIN = {"retries": 4, "retry_delay": timedelta(seconds=1)}
FORMAT = "(TYPE = CSV SKIP_HEADER = 1 NULL_IF = ('NA'))"


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_tasks=64,
    params={"prefix": ""},
)
def chaos_move():
    keys = s3_keys("lake", "{{ params.prefix }}/in/", batch_size=15, aws_conn_id="chaos_s3")
    collect(
        S3MoveKeysOperator.partial(
            task_id="move",
            source_bucket="lake",
            source_prefix="{{ params.prefix }}/in/",
            dest_prefix="{{ params.prefix }}/out/",
            aws_conn_id="chaos_s3",
            max_workers=4,
            map_index_template=label("{keys}"),
        ).expand(keys=keys)
    )


@dag(
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1),
    default_args=AGAIN,
    max_active_tasks=64,
    params={"prefix": "", "table": "flights"},
)
def chaos_copy():
    keys = s3_keys("lake", "landing/{{ params.prefix }}/", batch_size=1, aws_conn_id="chaos_s3")
    collect(
        S3KeysToSnowflakeOperator.partial(
            task_id="copy",
            table="{{ params.table }}",
            stage="landing",
            stage_prefix="landing/",
            file_format=FORMAT,
            snowflake_conn_id="chaos_snowflake",
            map_index_template=label("{keys}"),
        ).expand(keys=keys)
    )


chaos_move()
chaos_copy()
