"""What all tests share: an Airflow home of their own, made before anything imports Airflow."""

from __future__ import annotations

import atexit
import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from stack.catalog import Catalog
from stack.processes import Processes

pytest_plugins = ["standstill"]

# Who waits for a forked process waits for ever, if that waits for a lock which a thread of its parent had.
os.register_at_fork(after_in_child=lambda: signal.alarm(300))

# How long anything takes is no test: a busy machine is no reason to fail.
# And no explanations: they trace the code, and CPython 3.11 stands still where it is traced while a thread that
# is told to end can't, as some tests leave one behind.
settings.register_profile(
    "kit",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=set(Phase) - {Phase.explain},
)
settings.load_profile("kit")

# Airflow reads its settings when it is first imported. A home of the user's must never be touched.
_HOME = tempfile.mkdtemp(prefix="mapping-kit-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _HOME
# SQLite, if it isn't said otherwise: tests/system/test_mariadb.py has them use another one.
if os.environ.get("KIT_TEST_DATABASE"):
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = os.environ["KIT_TEST_DATABASE"]
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"

_INTEGRATION = Path(__file__).with_name("integration")

# Seconds that the tests of each folder are to take, all of them together, on two quiet cores: what is new pays for its
# seconds by what it alone can show. Nothing fails by it; `make test` shows what became of it.
BUDGET = {"unit": 60, "integration": 450, "e2e": 600}


def pytest_addoption(parser):
    """Have a choice of what runs the tasks of the end-to-end tests."""
    parser.addoption("--executor", choices=["local", "celery"], default="local")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Run the tests of a file of `integration` in one process: what they share is made once."""
    for item in items:
        if item.path.is_relative_to(_INTEGRATION) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(_INTEGRATION))))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """Have what tests print and log go from process to process, which takes UTF-8, whatever they try."""
    report = (yield).get_result()
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]


def pytest_sessionfinish():
    """Keep out of the five collections with which pytest ends what is imported: that would take 15 seconds."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """Show what the tests of each folder took, and what they are to take."""
    spent = dict.fromkeys(BUDGET, 0.0)
    for reports in terminalreporter.stats.values():
        for report in reports:
            folder = getattr(report, "nodeid", "").removeprefix("tests/").partition("/")[0]
            if folder in spent:
                spent[folder] += getattr(report, "duration", 0.0)
    if any(spent.values()):
        terminalreporter.section("seconds of tests, and how many they are to take on two quiet cores")
        for folder, seconds in spent.items():
            terminalreporter.write_line(f"{folder:<12}{seconds:>7.0f} of {BUDGET[folder]}")


# No ordinary words: Airflow's log masker would replace them everywhere.
_S3_KEY, _S3_SECRET = "AKIAQUAGGA7", "zyzzyva/quokka+dodo='9'"


@pytest.fixture(scope="session")
def s3_server():
    """Start an S3 server on a free port of 127.0.0.1 and return its endpoint."""
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            for line in server.stderr:
                if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            else:
                pytest.fail("moto_server ended before it listened")
            # An unread pipe would fill up and stop the server.
            drain = threading.Thread(target=server.stderr.read, daemon=True)
            drain.start()
            yield match[0]
        finally:
            server.terminate()


@pytest.fixture
def s3_conn(s3_server, monkeypatch):
    """Return the id of an Airflow connection to the S3 server."""
    connection = {
        "conn_type": "aws",
        "login": _S3_KEY,
        "password": _S3_SECRET,
        "extra": {"endpoint_url": s3_server, "region_name": "eu-west-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_S3_TEST", json.dumps(connection))
    return "s3_test"


@pytest.fixture
def s3_client(s3_server):
    """Return a boto3 client of the S3 server."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=s3_server,
        aws_access_key_id=_S3_KEY,
        aws_secret_access_key=_S3_SECRET,
        region_name="eu-west-1",
    )


@pytest.fixture
def s3_bucket(s3_client):
    """Return the name of a new, empty bucket."""
    name = f"b{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return name


@pytest.fixture(scope="session")
def iceberg_catalog(tmp_path_factory):
    """Start an Iceberg catalog over REST, whose tables are on disk."""
    folder = tmp_path_factory.mktemp("iceberg")
    with Processes() as processes:
        yield Catalog(processes, folder / "catalog.log", warehouse=folder / "warehouse")


@pytest.fixture
def iceberg_conn(iceberg_catalog, monkeypatch):
    """Return the id of an Airflow connection to the Iceberg catalog."""
    monkeypatch.setenv("AIRFLOW_CONN_ICEBERG_TEST", iceberg_catalog.airflow_connection)
    return "iceberg_test"


@pytest.fixture(scope="session")
def iceberg_catalog_on_s3(s3_server, tmp_path_factory):
    """Start an Iceberg catalog over REST, whose tables are in the bucket `warehouse` of the S3 server."""
    import boto3

    keys = {"aws_access_key_id": _S3_KEY, "aws_secret_access_key": _S3_SECRET}
    client = boto3.client("s3", endpoint_url=s3_server, region_name="eu-west-1", **keys)
    client.create_bucket(Bucket="warehouse", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    storage = {
        "s3.endpoint": s3_server,
        "s3.access-key-id": _S3_KEY,
        "s3.secret-access-key": _S3_SECRET,
        "s3.region": "eu-west-1",
    }
    folder = tmp_path_factory.mktemp("iceberg")
    with Processes() as processes:
        yield Catalog(processes, folder / "catalog.log", warehouse="s3://warehouse", storage=storage)


@pytest.fixture
def iceberg_conn_on_s3(iceberg_catalog_on_s3, monkeypatch):
    """Return the id of an Airflow connection to the Iceberg catalog whose tables are on S3."""
    monkeypatch.setenv("AIRFLOW_CONN_ICEBERG_S3_TEST", iceberg_catalog_on_s3.airflow_connection)
    return "iceberg_s3_test"
