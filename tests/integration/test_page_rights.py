"""Who sees the page Partitions, its data, and what its buttons may do: before Airflow's own web server."""

from __future__ import annotations

import pytest

import airflows
import sites
from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.generators import product

API = f"{sites.ROOT}/api"


@pytest.fixture(scope="module", params=["fab", "simple"] if AIRFLOW_3 else ["fab"])
def site(metadata_db, request):
    if AIRFLOW_3 and request.param == "fab":
        pytest.importorskip("airflow.providers.fab")
    with airflows.DAG("flights", schedule=None) as flights:

        @airflows.task
        def load(origin):
            return origin

        load.expand(origin=product(origin=["EWR", "JFK"]))
    with airflows.DAG("secret", schedule=None) as secret:
        load.expand(origin=["EWR"])
    for dag in (flights, secret):
        airflows.store(dag)
    with sites.site(request.param) as made:
        yield made


WHO = ["admin", "op", "user", "viewer", "editor", "reader", "powerless", None]
SEES = {"admin", "op", "user", "viewer", "editor", "reader"}
SEES_ALL = SEES - {"editor", "reader"}


@pytest.mark.parametrize("name", WHO)
def test_who_may_read_instances_and_runs_of_a_dag_sees_its_data_and_nobody_else(site, name):
    if name not in {*site.people, None}:
        pytest.skip("this auth manager has no rights of single DAGs")
    refused = 401 if name is None else 403
    for dag, see in (("flights", SEES), ("secret", SEES_ALL)):
        for path in ("partitions", "piece?value=EWR"):
            answer = site.of(name).get(f"{API}/dags/{dag}/{path}")
            assert answer.headers["content-type"] == "application/json"
            assert (answer.status_code not in (401, 403)) == (name in see), answer.text
            if name not in see:
                assert answer.status_code == refused
                assert "EWR" not in answer.text
