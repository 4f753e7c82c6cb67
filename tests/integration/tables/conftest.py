from __future__ import annotations

import uuid

import pytest

from iceberg_tables import Lake


@pytest.fixture
def lake(iceberg_catalog, iceberg_conn):
    """Return a namespace of its own in the Iceberg catalog."""
    return Lake(iceberg_catalog.client(), iceberg_conn, f"lake_{uuid.uuid4().hex[:8]}")
