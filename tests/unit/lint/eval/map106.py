"""Mapped copies that all write to one place."""
from airflow.providers.amazon.aws.operators.s3 import S3CopyObjectOperator
from airflow.providers.amazon.aws.transfers.local_to_s3 import LocalFilesystemToS3Operator

S3CopyObjectOperator.partial(
    task_id="copy", dest_bucket_name="lake", dest_bucket_key="in/data.csv"  # MAP106: 62 "only the copy of the last"
).expand(source_bucket_key=KEYS)
S3CopyObjectOperator.partial(task_id="copy", dest_bucket_name="lake").expand_kwargs(PAIRS)
S3CopyObjectOperator.partial(task_id="copy", dest_bucket_key="in/{{ ti.map_index }}.csv").expand(source_bucket_key=KEYS)
S3CopyObjectOperator.partial(task_id="copy", dest_bucket_key="in/").expand(source_bucket_key=KEYS)
LocalFilesystemToS3Operator.partial(task_id="up", dest_key="x.csv").expand(filename=FILES)  # MAP106: 60


def pair(key):
    name = key.split("/")[-1]
    return {"source_bucket_key": key, "dest_bucket_key": f"done/{name}"}


def pair_of_one(key):
    return {"source_bucket_key": key, "dest_bucket_key": f"s3://{LAKE}/{DONE}"}  # MAP106: 58


S3CopyObjectOperator.partial(task_id="pairs").expand_kwargs(KEYS.map(pair))
S3CopyObjectOperator.partial(task_id="one").expand_kwargs(KEYS.map(pair_of_one))
S3CopyObjectOperator.partial(task_id="lambda").expand_kwargs(
    KEYS.map(lambda key: {"source_bucket_key": key, "dest_bucket_key": "done.csv"})  # MAP106: 72
)
S3CopyObjectOperator.partial(task_id="list").expand_kwargs(
    [{"source_bucket_key": key, "dest_bucket_key": "done/" + key} for key in ("a", "b")]
)
# Nothing varies.
S3CopyObjectOperator.partial(task_id="none").expand_kwargs(
    KEYS.map(lambda key: {"source_bucket_key": "a", "dest_bucket_key": "b"})
)


from airflow.providers.google.cloud.transfers.local_to_gcs import LocalFilesystemToGCSOperator

LocalFilesystemToGCSOperator.partial(
    task_id="upload",
    bucket="lake",
    dst="raw/data.csv",  # MAP106: 9 "dst='raw/data.csv'"
).expand(src=["/a.csv", "/b.csv"])
# Names a folder.
LocalFilesystemToGCSOperator.partial(task_id="into", bucket="lake", dst="raw/").expand(src=["/a.csv", "/b.csv"])
LocalFilesystemToGCSOperator.partial(task_id="into_it", bucket="lake", dst="raw").expand(src=["/a.csv", "/b.csv"])
# Of an f-string all instances have the same one.
LocalFilesystemToGCSOperator.partial(
    task_id="named", bucket="lake", dst=f"{FOLDER}/{day.replace('.gz', '.parquet')}"  # MAP106: 41 "write to the same dst"
).expand(src=FILES)
LocalFilesystemToS3Operator.partial(task_id="key", dest_key=f"{FOLDER}/data.csv").expand(filename=FILES)  # MAP106: 61
LocalFilesystemToS3Operator.partial(task_id="under", dest_key=f"in/{FOLDER}/").expand(filename=FILES)
LocalFilesystemToGCSOperator.partial(task_id="under", bucket="lake", dst=f"in/{FOLDER}").expand(src=FILES)
LocalFilesystemToS3Operator.partial(task_id="by", dest_key=f"{FOLDER}/{{{{ ti.map_index }}}}.csv").expand(filename=FILES)
BY_ITEM = "{{ task.filename }}"
LocalFilesystemToS3Operator.partial(task_id="too", dest_key=f"{FOLDER}/{BY_ITEM}").expand(filename=FILES)
LocalFilesystemToS3Operator.partial(task_id="whose", dest_key=f"in/{FOLDER}").expand(filename=FILES)
