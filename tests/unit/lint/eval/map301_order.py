"""Deletes of all that is under a prefix, before what is read, or of what the run itself put there."""
from airflow import DAG
from airflow.models.baseoperator import chain
from airflow.operators.python import PythonOperator
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.s3 import S3DeleteObjectsOperator, S3ListOperator
from airflow.providers.amazon.aws.transfers.s3_to_redshift import S3ToRedshiftOperator
from airflow.providers.snowflake.transfers.s3_to_snowflake import S3ToSnowflakeOperator

IN = "in/"


def copy_all(**context):
    for key in context["ti"].xcom_pull(task_ids="listed"):
        S3Hook("aws").copy_object(key, key.replace("in/", "staging/"), "lake", "lake")


with DAG("stages"):
    # It is cleared before anything is put there.
    clear = S3DeleteObjectsOperator(task_id="clear", bucket="lake", prefix="staging/")
    listed = S3ListOperator(task_id="listed", bucket="lake", prefix=IN)
    copied = PythonOperator(task_id="copied", python_callable=copy_all)
    clear >> listed >> copied

with DAG("cleans_old"):
    old = S3DeleteObjectsOperator(task_id="old", bucket="lake", prefix="cleaned/")
    load = S3ToRedshiftOperator(task_id="load", s3_bucket="lake", s3_key="cleaned/", table="t")
    chain(old, load)

with DAG("of_the_run"):
    to_table = S3ToRedshiftOperator(task_id="to_table", s3_bucket="lake", s3_key="runs/{{ run_id }}", table="t")
    gone = S3DeleteObjectsOperator(task_id="gone", bucket="lake", prefix="runs/{{ run_id | replace(':', '') }}")
    to_table >> gone

with DAG("loads"):
    loaded = S3ToSnowflakeOperator(task_id="loaded", stage="lake", table="t")
    deleted = S3DeleteObjectsOperator(task_id="deleted", bucket="lake", prefix=IN)  # MAP301: 15
    loaded >> deleted

with DAG("unnamed"):
    S3DeleteObjectsOperator(task_id="clear_it", bucket="lake", prefix=IN) >> S3ListOperator(task_id="l", bucket="lake")
    S3ListOperator(task_id="m", bucket="lake") >> S3DeleteObjectsOperator(task_id="n", prefix=IN)  # MAP301: 51
