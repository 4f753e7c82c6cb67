"""Deletes of what was read, and of what was not."""
import boto3
from airflow import DAG
from airflow.operators.python import PythonOperator
from airflow.providers.amazon.aws.operators.s3 import S3DeleteObjectsOperator, S3ListOperator
from airflow.providers.amazon.aws.transfers.s3_to_redshift import S3ToRedshiftOperator

INBOX = "inbox"


def archive():
    s3 = boto3.client("s3")
    for found in s3.list_objects_v2(Bucket="orders", Prefix="new/")["Contents"]:
        s3.copy({"Bucket": "orders", "Key": found["Key"]}, "archive", found["Key"])


with DAG("archive"):
    archived = PythonOperator(task_id="archive", python_callable=archive)
    archived >> S3DeleteObjectsOperator(task_id="d", bucket="orders", prefix="new/")  # MAP301: 17 "prefix='new/'"
    archived >> S3DeleteObjectsOperator(task_id="s", bucket="scratch", prefix="new/")
    archived >> S3DeleteObjectsOperator(task_id="t", bucket="orders", prefix="tmp/")

with DAG("load"):
    listed = S3ListOperator(task_id="l", bucket=INBOX, prefix="2024/")
    loaded = S3ToRedshiftOperator(task_id="r", s3_bucket="lake", s3_key="day", table="t")
    listed >> S3DeleteObjectsOperator(task_id="a", bucket="inbox", prefix="2024/01/")  # MAP301: 15
    listed >> loaded >> S3DeleteObjectsOperator(task_id="b", bucket="lake", prefix="day/")  # MAP301: 25
    listed >> S3DeleteObjectsOperator(task_id="c", bucket="inbox", prefix="2023/")
