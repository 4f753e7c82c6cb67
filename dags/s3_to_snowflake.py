"""Load the day's files from S3 into Snowflake, one mapped instance per file, and lose nothing.

An unknown number of files lands as `landing/20130101/EWR.csv`. Each is loaded, and moves to `processed/` when the
table has it. Then a query transforms the table. A file that fails stays in `landing/`.
"""

from __future__ import annotations

from pathlib import Path

import pendulum

try:
    from airflow.sdk import Param, dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag
    from airflow.models.param import Param

from airflow_mapping_kit.task_groups import s3_to_snowflake

INCLUDE = Path(__file__).resolve().parents[1] / "include"


@dag(
    dag_id="s3_to_snowflake",
    dag_display_name="Files from S3 to Snowflake",
    schedule="@daily",
    start_date=pendulum.datetime(2013, 1, 1),
    catchup=False,
    # Two runs could load the same file at the same moment, and Snowflake might load it twice.
    max_active_runs=1,
    template_searchpath=str(INCLUDE),
    params={
        "bucket": Param("flights", type="string"),
        "prefix": Param("", type="string", description="Where to look; empty: landing/ and the day"),
        "aws_conn_id": Param("aws_default", type="string"),
        "snowflake_conn_id": Param("snowflake_default", type="string"),
    },
    tags=["example", "s3", "snowflake"],
    doc_md=__doc__,
)
def load_landing():
    s3_to_snowflake(
        group_id="flights",
        bucket="{{ params.bucket }}",
        prefix="{{ params.prefix or 'landing/' ~ ds_nodash ~ '/' }}",
        match="*.csv",
        source_prefix="landing/",
        processed_prefix="processed/",
        table="flights",
        stage="landing",
        stage_prefix="landing/",
        file_format="(TYPE = CSV SKIP_HEADER = 1 NULL_IF = ('NA'))",
        transform_sql="sql/flights_by_day.sql",
        aws_conn_id="{{ params.aws_conn_id }}",
        snowflake_conn_id="{{ params.snowflake_conn_id }}",
        default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=30)},
    )


load_landing()
