"""An S3 server, a proxy that makes it fail, and a bucket for each test.

Every test here runs on moto's server; with `-m system` the same tests run on Ceph's RADOS Gateway.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ceph_gateway
from ceph_gateway import LOOPBACK, free_port
from fault_proxy import fault_proxy


@dataclass(frozen=True)
class Server:
    name: str
    endpoint: str
    access_key: str
    secret_key: str

    def client(self):
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=16),
        )

    def connection(self, endpoint: str, **config: Any) -> str:
        return json.dumps(
            {
                "conn_type": "aws",
                "login": self.access_key,
                "password": self.secret_key,
                "extra": {
                    "endpoint_url": endpoint,
                    "region_name": "us-east-1",
                    "config_kwargs": {"s3": {"addressing_style": "path"}, **config},
                },
            }
        )


class Bucket:
    """One test's bucket, seen past the proxy: what really lies in it."""

    def __init__(self, server: Server, name: str | None = None, **settings: Any) -> None:
        self.client = server.client()
        self.name = name or f"lake-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=self.name, **settings)

    def put(self, key: str, body: bytes | None = None, **arguments: Any) -> None:
        self.client.put_object(
            Bucket=self.name, Key=key, Body=key.encode() if body is None else body, **arguments
        )

    def put_in_parts(self, key: str, parts: list[bytes], **arguments: Any) -> None:
        upload = {"Bucket": self.name, "Key": key}
        upload["UploadId"] = self.client.create_multipart_upload(**upload, **arguments)["UploadId"]
        sent = [
            {
                "PartNumber": number,
                "ETag": self.client.upload_part(**upload, PartNumber=number, Body=part)["ETag"],
            }
            for number, part in enumerate(parts, start=1)
        ]
        self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})

    def put_all(self, keys: list[str]) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.put, keys))

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def head(self, key: str) -> dict[str, Any]:
        return self.client.head_object(Bucket=self.name, Key=key)

    def tags(self, key: str) -> dict[str, str]:
        tags = self.client.get_object_tagging(Bucket=self.name, Key=key)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in tags}

    def tag(self, key: str, name: str, value: str) -> None:
        tags = {"TagSet": [{"Key": name, "Value": value}]}
        self.client.put_object_tagging(Bucket=self.name, Key=key, Tagging=tags)

    def readers(self, key: str) -> set[tuple[str, str]]:
        """Return what others than the owner may do with an object."""
        acl = self.client.get_object_acl(Bucket=self.name, Key=key)
        return {
            (grant["Permission"], grant["Grantee"].get("URI") or grant["Grantee"]["ID"])
            for grant in acl["Grants"]
            if grant["Grantee"].get("ID", "") != acl["Owner"]["ID"]
        }

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        return {key: self.get(key) for key in self.keys(prefix)}

    def keep_versions(self) -> None:
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})


@contextlib.contextmanager
def _moto(folder: Path):
    port = free_port()
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", LOOPBACK, "-p", str(port)]
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        endpoint = f"http://{LOOPBACK}:{port}"
        deadline = time.monotonic() + 120
        while not ceph_gateway.answers(endpoint):
            assert process.poll() is None, (folder / "moto.log").read_text()
            assert time.monotonic() < deadline, "moto's server did not come up within two minutes"
            time.sleep(0.1)
        yield Server("moto", endpoint, "mapkittestkey", "qz7-test-only-vx4")
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _gateway():
    with ceph_gateway.ceph_gateway() as endpoint:
        yield Server("gateway", endpoint, ceph_gateway.ACCESS_KEY, ceph_gateway.SECRET_KEY)


# A Ceph takes half a minute to start: one process has all of its tests.
GATEWAY = pytest.param("gateway", marks=[pytest.mark.system, pytest.mark.xdist_group("gateway")])


@pytest.fixture(scope="session", params=["moto", GATEWAY])
def server(request, tmp_path_factory):
    running = _gateway() if request.param == "gateway" else _moto(tmp_path_factory.mktemp("moto"))
    with running as server:
        yield server


@pytest.fixture(scope="session")
def other_server(tmp_path_factory):
    """Return another store, which no request to the first one reaches."""
    with _moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def _proxy(server):
    with fault_proxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(_proxy):
    """The proxy between the connection `s3` and the server, without faults."""
    _proxy.reset()
    return _proxy


@pytest.fixture
def connect(server, proxy, monkeypatch):
    """Define the Airflow connection `s3`, again with other settings where a test wants it."""

    def define(*, past_the_proxy: bool = False, **config: Any) -> None:
        endpoint = server.endpoint if past_the_proxy else proxy.url
        monkeypatch.setenv("AIRFLOW_CONN_S3", server.connection(endpoint, **config))

    define()
    return define


@pytest.fixture
def bucket(server, connect):
    return Bucket(server)


@pytest.fixture
def reader(server, bucket, monkeypatch):
    """Let another account read the bucket, and define the Airflow connection `reader` of it."""
    if server.name == "moto":
        pytest.skip("moto asks nobody who pays")
    other = Server(
        server.name, server.endpoint, ceph_gateway.READER_ACCESS_KEY, ceph_gateway.READER_SECRET_KEY
    )
    monkeypatch.setenv("AIRFLOW_CONN_READER", other.connection(server.endpoint))
    bucket.client.put_bucket_acl(
        Bucket=bucket.name, GrantRead=f'id="{ceph_gateway.READER}"', GrantFullControl='id="lab"'
    )


@pytest.fixture
def locking(server, proxy, connect):
    """Return a bucket whose objects can be locked."""
    if server.name == "moto":
        # It wants of a copy what S3 wants of an upload, and boto3 can't send.
        proxy.before = lambda request: request.headers.update({"Content-MD5": "any"})
    return Bucket(server, ObjectLockEnabledForBucket=True)


class Killable:
    """Processes that run one operator each, forked from one that has imported everything already."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("operator_processes.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._started = threading.Event()
        self._pid = 0

    def run(self, connection: str, arguments: dict[str, Any]) -> int:
        """Run `S3MoveKeysOperator(**arguments)` in a process of its own and return its exit status."""
        self._started.clear()
        print(
            json.dumps({"connection": connection, "arguments": arguments}),
            file=self._process.stdin,
            flush=True,
        )
        self._pid = int(self._process.stdout.readline())
        self._started.set()
        return int(self._process.stdout.readline())

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._started.wait(60)
        return self._pid

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)


@pytest.fixture(scope="module")
def killable():
    processes = Killable()
    yield processes
    processes.end()
