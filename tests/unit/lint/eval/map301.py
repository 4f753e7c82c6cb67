"""Deletes of all that is under a prefix, beside copies."""
from airflow.providers.amazon.aws.operators.s3 import (
    S3CopyObjectOperator,
    S3DeleteObjectsOperator,
    S3ListOperator,
)

listed = S3ListOperator(task_id="list", bucket="lake", prefix="in/")
copied = S3CopyObjectOperator.partial(task_id="copy").expand_kwargs(PAIRS)
S3DeleteObjectsOperator(task_id="delete", bucket="lake", prefix="in/")  # MAP301: 1 "prefix='in/'"
S3DeleteObjectsOperator(task_id="delete_those", bucket="lake", keys=listed.output)
