"""Measure s3_keys against S3Hook.list_keys, and S3MoveKeysOperator against a loop of hook calls.

Run `python benchmarks/s3.py list` or `python benchmarks/s3.py move`, each with `--server gateway` for Ceph's
RADOS Gateway (root and Debian's packages) in place of moto's server. `--objects N` measures with fewer. Every
measurement is a process of its own; the two sides take turns. Memory is the peak above that of the process
with its client made, before the call. `move` measures on the loopback and with every request held up by 20
ms, as S3 in the same region would. `large` moves one object of 6 GiB inside a Ceph whose objects are on the disk,
30 GB of it, and from one connection to another.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parents[1] / "dev"))

DELAY = 0.02


def list_kit(bucket: str) -> int:
    """List with the kit."""
    from airflow_mapping_kit.generators import s3_keys

    return len(s3_keys.function(bucket, "landing/", aws_conn_id="s3"))


def list_provider(bucket: str) -> int:
    """List with the provider's hook."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return len(S3Hook("s3").list_keys(bucket, "landing/"))


def _keys(objects: int) -> list[str]:
    return [f"landing/2013-01-01/part-{number:06}.csv" for number in range(objects)]


def move_kit(bucket: str, objects: int) -> int:
    """Move with the kit."""
    from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator

    operator = S3MoveKeysOperator(
        task_id="move",
        keys=_keys(objects),
        source_bucket=bucket,
        source_prefix="landing/",
        dest_prefix="kit/",
        aws_conn_id="s3",
    )
    return len(operator.execute({}))


def move_provider(bucket: str, objects: int) -> int:
    """Copy and delete, key by key: neither verifies nor looks before it overwrites."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook("s3")
    for key in _keys(objects):
        hook.copy_object(
            source_bucket_key=key,
            source_bucket_name=bucket,
            dest_bucket_key=key.replace("landing/", "provider/", 1),
            dest_bucket_name=bucket,
        )
        hook.delete_objects(bucket, key)
    return objects


def move_provider_checked(bucket: str, objects: int) -> int:
    """Copy and delete, key by key, with the kit's checks: look at both, copy, look at both, delete."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook("s3")
    for key in _keys(objects):
        dest = key.replace("landing/", "provider/", 1)
        before = hook.head_object(key, bucket)
        if hook.head_object(dest, bucket) is not None:
            raise SystemExit(f"{dest} is there already")
        hook.copy_object(
            source_bucket_key=key, source_bucket_name=bucket, dest_bucket_key=dest, dest_bucket_name=bucket
        )
        for name in (dest, key):
            if hook.head_object(name, bucket)["ETag"] != before["ETag"]:
                raise SystemExit(f"{name} isn't {key}")
        hook.delete_objects(bucket, key)
    return objects


LARGE = "landing/large"
LARGE_PARTS, PART_BYTES = 96, 64 * 1024**2


def copy_large_provider(bucket: str, dest: str) -> int:
    """Copy with the provider's hook, in one request, which AWS refuses of so large an object, and Ceph doesn't."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    S3Hook("s3").copy_object(LARGE, f"{dest}/large", bucket, bucket)
    return 1


def copy_large_boto3(bucket: str, dest: str) -> int:
    """Copy with boto3's managed transfer, and look at nothing."""
    from airflow_mapping_kit.storage.buckets import s3_client

    s3_client("s3").copy({"Bucket": bucket, "Key": LARGE}, bucket, f"{dest}/large")
    return 1


def move_large_kit(bucket: str, source: str, dest: str, dest_connection: str | None) -> int:
    """Move with the kit: inside the store, or through this process where there is another connection."""
    from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator

    operator = S3MoveKeysOperator(
        task_id="move",
        keys=f"{source}/large",
        source_bucket=bucket,
        source_prefix=f"{source}/",
        dest_prefix=f"{dest}/",
        aws_conn_id="s3",
        dest_aws_conn_id=dest_connection,
    )
    (row,) = operator.execute({})
    if (row["status"], row["bytes"]) != ("moved", LARGE_PARTS * PART_BYTES):
        raise SystemExit(f"not moved: {row}")
    return 1


SIDES = {
    function.__name__: function
    for function in (
        list_kit,
        list_provider,
        move_kit,
        move_provider,
        move_provider_checked,
        copy_large_provider,
        copy_large_boto3,
        move_large_kit,
    )
}


def measure(side: str, arguments: list[Any], expected: int) -> None:
    """Print seconds, peak MiB and CPU seconds of one call."""
    from airflow_mapping_kit.generators import s3_keys
    from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator
    from airflow_mapping_kit.storage.buckets import s3_client

    assert s3_keys
    assert S3MoveKeysOperator
    logging.disable(logging.CRITICAL)  # the hook logs every key that it deletes
    # Both sides import the same, and make a client: neither pays for that here.
    s3_client("s3").list_objects_v2(Bucket=arguments[0], MaxKeys=1)
    # getrusage's peak is that of the process before it became this one; Linux can start anew here.
    Path("/proc/self/clear_refs").write_text("5")
    idle_kib = _status_kib("VmRSS")
    start, computed = time.perf_counter(), time.process_time()
    done = SIDES[side](*arguments)
    seconds, computed = time.perf_counter() - start, time.process_time() - computed
    mebibytes = (_status_kib("VmHWM") - idle_kib) / 1024
    if done != expected:
        raise SystemExit(f"{side} did {done:,} of {expected:,} objects")
    print(json.dumps([seconds, mebibytes, computed]))


def _status_kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


@contextlib.contextmanager
def _server(name: str, disk_bytes: int | None = None) -> Iterator[tuple[str, str, str]]:
    import ceph_gateway

    if name == "gateway":
        with ceph_gateway.ceph_gateway(disk_bytes) as endpoint:
            yield endpoint, ceph_gateway.ACCESS_KEY, ceph_gateway.SECRET_KEY
        return
    port = ceph_gateway.free_port()
    endpoint = f"http://{ceph_gateway.LOOPBACK}:{port}"
    command = [
        sys.executable, "-c", "from moto.server import main; main()",
        "-H", ceph_gateway.LOOPBACK, "-p", str(port),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not ceph_gateway.answers(endpoint):
            if process.poll() is not None:
                raise SystemExit("moto's server ended by itself")
            time.sleep(0.1)
        yield endpoint, "mapkitbenchkey", "qz7-bench-only-vx4"
    finally:
        process.terminate()
        process.wait()


def _connection(endpoint: str, access_key: str, secret_key: str) -> str:
    return json.dumps(
        {
            "conn_type": "aws",
            "login": access_key,
            "password": secret_key,
            "extra": {
                "endpoint_url": endpoint,
                "region_name": "us-east-1",
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            },
        }
    )


def _fill(client: Any, keys: list[str]) -> str:
    bucket = f"bench-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=bucket, Key=key, Body=b"x" * 100), keys))
    return bucket


def _measured(side: str, arguments: list[Any], expected: int) -> list[float]:
    run = subprocess.run(
        [sys.executable, __file__, "measure", json.dumps([side, arguments, expected])],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return list(json.loads(run.stdout.splitlines()[-1]))


def _row(title: str, rounds: list[list[float]]) -> list[float]:
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    print(f"| {title} | {medians[0]:.2f} | {medians[1]:.1f} |", flush=True)
    return medians


def benchmark_list(client: Any, objects: int, rounds: int) -> None:
    """Print a Markdown table of one listing by each side."""
    bucket = _fill(client, _keys(objects))
    measured: dict[str, list[list[float]]] = {"list_provider": [], "list_kit": []}
    for _ in range(rounds):
        for side, rows in measured.items():
            rows.append(_measured(side, [bucket], objects))
    print(f"\n{objects:,} keys, medians of {rounds} paired runs\n\n| | seconds | peak MiB |\n|---|---|---|")
    theirs = _row("S3Hook.list_keys", measured["list_provider"])
    ours = _row("s3_keys", measured["list_kit"])
    print(f"| ratio | {ours[0] / theirs[0]:.2f} | {ours[1] / theirs[1]:.2f} |")


def benchmark_move(client: Any, objects: int, rounds: int) -> None:
    """Print a Markdown table of one move by each side, of objects of its own."""
    sides = {
        "move_provider": "hook: copy, delete",
        "move_provider_checked": "hook: with the kit's checks",
        "move_kit": "S3MoveKeysOperator",
    }
    measured: dict[str, list[list[float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, rows in measured.items():
            rows.append(_measured(side, [_fill(client, _keys(objects)), objects], objects))
    print("\n| | seconds | peak MiB |\n|---|---|---|")
    medians = {side: _row(title, measured[side])[0] for side, title in sides.items()}
    for side in ("move_provider", "move_provider_checked"):
        print(f"| {sides[side]}, times the kit | {medians[side] / medians['move_kit']:.1f} | |", flush=True)


def benchmark_large(client: Any) -> None:
    """Print a Markdown table of how an object over the limit of one copy is copied and moved, read back each time."""
    bucket = f"bench-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    digest = _put_large(client, bucket)
    size = LARGE_PARTS * PART_BYTES
    print(
        f"\nOne object of {size / 1024**3:.0f} GiB in {LARGE_PARTS} parts; its SHA-256 is {digest}",
        flush=True,
    )
    print("\n| | seconds | its process's CPU seconds | peak MiB |\n|---|---|---|---|")
    for title, side, arguments, key in (
        ("`S3Hook.copy_object`", "copy_large_provider", ["hook"], "hook/large"),
        (
            "boto3's `client.copy`, which deletes and compares nothing",
            "copy_large_boto3",
            ["boto3"],
            "boto3/large",
        ),
        (
            "`S3MoveKeysOperator`, inside the store",
            "move_large_kit",
            ["landing", "moved", None],
            "moved/large",
        ),
        (
            "the same, to another connection",
            "move_large_kit",
            ["moved", "streamed", "other"],
            "streamed/large",
        ),
    ):
        seconds, peak, computed = _measured(side, [bucket, *arguments], 1)
        print(f"| {title} | {seconds:.0f} | {computed:.1f} | {peak:.0f} |", flush=True)
        if _sha256(client, bucket, key) != digest:
            raise SystemExit(f"{key} isn't what was put")
        if side.startswith("copy"):
            client.delete_object(Bucket=bucket, Key=key)
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]
    print(f"\nRead back each time, with the same SHA-256. What is left: {keys}", flush=True)


def _put_large(client: Any, bucket: str) -> str:
    upload = {"Bucket": bucket, "Key": LARGE}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    block, digest, sent = os.urandom(PART_BYTES - 8), hashlib.sha256(), []
    for number in range(1, LARGE_PARTS + 1):
        # No two parts are the same.
        part = number.to_bytes(8, "big") + block
        digest.update(part)
        sent.append(
            {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=part)["ETag"]}
        )
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})
    return digest.hexdigest()


def _sha256(client: Any, bucket: str, key: str) -> str:
    digest = hashlib.sha256()
    for chunk in client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1024 * 1024):
        digest.update(chunk)
    return digest.hexdigest()


def main() -> None:
    """Run the benchmark that the command line names."""
    if sys.argv[1:2] == ["measure"]:
        measure(*json.loads(sys.argv[2]))
        return
    import boto3
    from botocore.config import Config

    from fault_proxy import fault_proxy

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("list", "move", "large"))
    parser.add_argument("--server", choices=("moto", "gateway"), default="moto")
    parser.add_argument("--objects", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    # Ended from outside, it still ends its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if chosen.what == "large":
        chosen.server = "gateway"
    disk_bytes = 30 * 10**9 if chosen.what == "large" else None
    with (
        tempfile.TemporaryDirectory() as home,
        _server(chosen.server, disk_bytes) as (endpoint, access_key, secret_key),
    ):
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        os.environ["AIRFLOW_CONN_S3"] = _connection(endpoint, access_key, secret_key)
        os.environ["AIRFLOW_CONN_OTHER"] = os.environ["AIRFLOW_CONN_S3"]
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )
        print(f"Server: {chosen.server}, Python {sys.version.split()[0]}, {os.cpu_count()} cores", flush=True)
        if chosen.what == "large":
            benchmark_large(client)
            return
        if chosen.what == "list":
            benchmark_list(client, chosen.objects or 100_000, chosen.rounds)
            return
        objects = chosen.objects or 1_000
        print(f"\n{objects:,} objects of 100 bytes on the loopback, medians of {chosen.rounds} paired runs")
        benchmark_move(client, objects, chosen.rounds)
        with fault_proxy(endpoint) as proxy:
            proxy.delay = DELAY
            os.environ["AIRFLOW_CONN_S3"] = _connection(proxy.url, access_key, secret_key)
            print(f"\nThe same with every request held up by {DELAY * 1000:.0f} ms")
            benchmark_move(client, objects, chosen.rounds)


if __name__ == "__main__":
    main()
