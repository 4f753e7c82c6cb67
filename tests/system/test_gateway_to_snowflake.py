"""From Ceph's RADOS Gateway, which is as strict as S3, to Snowflake over TLS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ceph_gateway import ACCESS_KEY, SECRET_KEY, ceph_gateway
from stack import landing
from stack.processes import Processes
from stack.snowflake import Snowflake

SOURCE = Path(__file__).resolve().parents[2] / "include" / "data" / "flights-2013-01.csv.gz"

pytestmark = pytest.mark.system


@pytest.fixture
def client():
    """Start the gateway and return boto3's client for it."""
    import boto3
    from botocore.config import Config

    with ceph_gateway() as endpoint:
        yield boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )


@pytest.fixture
def snowflake(client, tmp_path, monkeypatch):
    """Start a Snowflake whose stage is on the gateway, and make Airflow's connections to both."""
    with Processes() as processes:
        server = Snowflake(
            processes,
            tmp_path / "snowflake.log",
            s3_endpoint_url=client.meta.endpoint_url,
            s3_access_key=ACCESS_KEY,
            s3_secret_key=SECRET_KEY,
        )
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        aws = {
            "conn_type": "aws",
            "login": ACCESS_KEY,
            "password": SECRET_KEY,
            "extra": {
                "endpoint_url": client.meta.endpoint_url,
                "region_name": "us-east-1",
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            },
        }
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
        monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", server.airflow_connection)
        yield server


def test_every_row_is_in_the_table_once_and_every_object_in_one_place(client, snowflake):
    from airflow_mapping_kit.generators.s3 import s3_contents
    from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator
    from airflow_mapping_kit.operators.snowflake import S3KeysToSnowflakeOperator

    files = landing.split(SOURCE)
    landing.prepare(client, snowflake)
    landing.land(client, files)

    def run():
        for piece in s3_contents.function(landing.BUCKET, "landing/", batch_size=31):
            yield (
                S3KeysToSnowflakeOperator(
                    task_id="load",
                    keys=piece["keys"],
                    table="flights",
                    stage="landing",
                    stage_prefix="landing/",
                    file_format="(TYPE = CSV SKIP_HEADER = 1 NULL_IF = ('NA'))",
                ).execute({}),
                S3MoveKeysOperator(
                    task_id="move",
                    keys=piece["keys"],
                    etags=piece["etags"],
                    source_bucket=landing.BUCKET,
                    source_prefix="landing/",
                    dest_prefix="processed/",
                ).execute({}),
            )

    loads, moves = zip(*run(), strict=True)
    assert {row["status"] for batch in loads for row in batch} == {"loaded"}
    assert {row["status"] for batch in moves for row in batch} == {"moved"}
    assert snowflake.sql("SELECT count(*) FROM flights") == [(27_004,)]
    by_file = snowflake.sql("SELECT origin, day, count(*) FROM flights GROUP BY origin, day")
    assert {(origin, day): rows for origin, day, rows in by_file} == {
        (key[-7:-4], int(key[14:16])): body.count(b"\n") - 1 for key, body in files.items()
    }
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=landing.BUCKET)["Contents"]]
    found = {key: client.get_object(Bucket=landing.BUCKET, Key=key)["Body"].read() for key in keys}
    assert found == {key.replace("landing/", "processed/"): body for key, body in files.items()}
    assert list(run()) == []
