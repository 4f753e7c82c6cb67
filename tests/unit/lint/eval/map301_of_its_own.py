"""A bucket that the DAG makes and takes away."""
from airflow import DAG
from airflow.providers.amazon.aws.operators.s3 import (
    S3CopyObjectOperator,
    S3CreateBucketOperator,
    S3DeleteBucketOperator,
    S3DeleteObjectsOperator,
)

with DAG("try_it"):
    made = S3CreateBucketOperator(task_id="make", bucket_name="mine")
    copied = S3CopyObjectOperator(task_id="copy", source_bucket_key="s3://mine/a", dest_bucket_key="s3://mine/b")
    emptied = S3DeleteObjectsOperator(task_id="empty", bucket="mine", prefix="", trigger_rule="all_done")
    made >> copied >> emptied >> S3DeleteBucketOperator(task_id="remove", bucket_name="mine")
