"""A local S3 server (moto), objects in memory."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from stack.environment import base_environment
from stack.ports import LOOPBACK, answers, free_port
from stack.processes import StackError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from stack.processes import Processes

# Unlikely words: Airflow's log masker replaces a connection's secret wherever it appears.
ACCESS_KEY = "mapkitlocalkey"
SECRET_KEY = "qz7-local-only-vx4"  # noqa: S105 - any pair opens a server on the loopback that forgets everything
REGION = "us-east-1"


class S3:
    """A running server on the loopback.

    :param processes: the parts it belongs to.
    :param log: where its log goes.
    :param port: the port, by default a free one.
    """

    def __init__(self, processes: Processes, log: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self.endpoint_url = f"http://{LOOPBACK}:{self.port}"
        self.process = processes.start(
            "The S3 server",
            [
                sys.executable,
                "-c",
                "from moto.server import main; main()",
                "-H",
                LOOPBACK,
                "-p",
                str(self.port),
            ],
            log=log,
            env=base_environment(log.parent),
            cwd=log.parent,
            grace=2,
        )
        processes.wait("The S3 server's first answer", lambda: answers(self.port), seconds=120)

    @property
    def airflow_connection(self) -> str:
        """The Airflow connection as JSON, for an ``AIRFLOW_CONN_...`` variable."""
        return self.airflow_connection_by(self.endpoint_url)

    def airflow_connection_by(self, endpoint_url: str) -> str:
        """Return the Airflow connection as JSON that takes another way to the server, a proxy."""
        return json.dumps(
            {
                "conn_type": "aws",
                "login": ACCESS_KEY,
                "password": SECRET_KEY,
                "extra": {
                    "endpoint_url": endpoint_url,
                    "region_name": REGION,
                    "config_kwargs": {"s3": {"addressing_style": "path"}},
                },
            }
        )

    @property
    def iceberg_storage(self) -> dict[str, str]:
        """What pyiceberg needs to read and write here."""
        return {
            "s3.endpoint": self.endpoint_url,
            "s3.access-key-id": ACCESS_KEY,
            "s3.secret-access-key": SECRET_KEY,
            "s3.region": REGION,
        }

    def client(self) -> Any:
        """Return a boto3 client."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket."""
        self.client().create_bucket(Bucket=bucket)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return what a bucket holds, by key."""
        client = self.client()
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in self.keys(bucket)}

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys of what a bucket holds, or of those with a prefix."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def copy_to(self, bucket: str, folder: Path) -> int:
        """Write every object of a bucket into ``folder``, which must not exist, and return how many there were."""
        folder.mkdir(parents=True)
        objects = self.objects(bucket)
        for key, body in objects.items():
            path = folder / key
            if not path.resolve().is_relative_to(folder.resolve()):
                raise StackError(f"The key {key!r} would leave {folder}: not copied.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        return len(objects)
