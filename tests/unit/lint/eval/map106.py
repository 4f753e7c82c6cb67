"""Mapped copies that all write to one place."""
from airflow.providers.amazon.aws.operators.s3 import S3CopyObjectOperator
from airflow.providers.amazon.aws.transfers.local_to_s3 import LocalFilesystemToS3Operator

S3CopyObjectOperator.partial(
    task_id="copy", dest_bucket_name="lake", dest_bucket_key="in/data.csv"  # MAP106: 62 "only the last stays"
).expand(source_bucket_key=KEYS)
S3CopyObjectOperator.partial(task_id="copy", dest_bucket_name="lake").expand_kwargs(PAIRS)
S3CopyObjectOperator.partial(task_id="copy", dest_bucket_key="in/{{ ti.map_index }}.csv").expand(source_bucket_key=KEYS)
S3CopyObjectOperator.partial(task_id="copy", dest_bucket_key="in/").expand(source_bucket_key=KEYS)
LocalFilesystemToS3Operator.partial(task_id="up", dest_key="x.csv").expand(filename=FILES)  # MAP106: 60
