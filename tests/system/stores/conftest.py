"""Google's and Azure's object storage, as stand-ins on the loopback have it."""

from __future__ import annotations

import os
import uuid

import pytest

from airflow_mapping_kit.storage import file_systems
from stack.azure import Azure
from stack.google import Google, logins
from stack.processes import Processes

# Newer versions of gcsfs ask Google itself first, not the address of the connection, of which kind a bucket is.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


@pytest.fixture(scope="session")
def azure(tmp_path_factory):
    """Start Azurite."""
    with Processes() as processes:
        yield Azure(processes, tmp_path_factory.mktemp("azure") / "log")


@pytest.fixture(scope="session")
def google(tmp_path_factory):
    """Start Google's."""
    with logins() as token_uri, Processes() as processes:
        yield Google(processes, tmp_path_factory.mktemp("google") / "log", token_uri)


@pytest.fixture(params=["azure", "google"])
def store(request):
    """Return each of them in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def forget():
    """Let connections be others in each test."""
    file_systems._made.cache_clear()


@pytest.fixture
def connect(store, monkeypatch):
    """Return a function that makes an Airflow connection to the store and returns its id."""

    def connect(**settings):
        name = f"c{uuid.uuid4().hex[:8]}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", store.airflow_connection(**settings))
        return name

    return connect


@pytest.fixture
def connection(connect):
    """Return the id of an Airflow connection to the store."""
    return connect()


@pytest.fixture
def bucket(store):
    """Return the name of a new, empty bucket."""
    name = f"b{uuid.uuid4().hex}"
    store.make_bucket(name)
    return name


@pytest.fixture
def place(store, connection, bucket):
    """Return the URI of a folder in it."""
    return f"{store.scheme}://{connection}@{bucket}/a folder/ü"
