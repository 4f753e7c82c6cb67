"""A DAG that lists, batches and moves what lies in `LAKE`, run by the test beside it."""

from __future__ import annotations

import datetime
import os

import airflows
from airflow_mapping_kit.generators import s3_keys
from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator


@airflows.dag(schedule=None, start_date=datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc))
def listing_dag():
    bucket = os.environ["LAKE"]
    keys = s3_keys(
        bucket, "landing/{{ ds }}/", modified_since="2000-01-01T00:00Z", batch_size=2, aws_conn_id="s3"
    )
    S3MoveKeysOperator.partial(
        task_id="move",
        source_bucket=bucket,
        source_prefix="landing/{{ ds }}/",
        dest_prefix="processed/",
        aws_conn_id="s3",
    ).expand(keys=keys)
    single = s3_keys.override(task_id="single")(bucket, "alone/{{ ds }}/", aws_conn_id="s3")
    S3MoveKeysOperator.partial(
        task_id="move_alone",
        source_bucket=bucket,
        source_prefix="alone/{{ ds }}/",
        dest_prefix="processed/",
        extra_args={"StorageClass": "{{ 'STANDARD' }}"},
        aws_conn_id="s3",
    ).expand(keys=single)


listed = listing_dag()

if __name__ == "__main__":
    airflows.make_tables()
    moment = datetime.datetime(2024, 11, 20, tzinfo=datetime.timezone.utc)
    named = {"logical_date" if airflows.AIRFLOW_3 else "execution_date": moment}
    run = airflows.dag_test(listed, **named)
    assert run.state == "success", run.state
