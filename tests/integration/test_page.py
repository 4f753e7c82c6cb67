"""The page Partitions as Airflow's own web server serves it: its addresses, its links, and what is asked wrongly."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from html import unescape
from urllib.parse import quote, urlencode

import pendulum
import pytest
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun

import airflows
import sites
from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import product
from airflow_mapping_kit.operators.dagrun import TriggerDagRunPerItemOperator
from airflow_mapping_kit.ui.files import version
from airflows import create_session

START = pendulum.datetime(2024, 1, 1)
API = f"{sites.ROOT}/api"
FLIGHTS = f"{API}/dags/flights"


@pytest.fixture(scope="module")
def site(metadata_db):
    with airflows.DAG("flights", schedule=None) as flights:

        @airflows.task
        def load(origin):
            return origin

        collect(load.expand(origin=product(origin=["EWR", "LGA"])))
    with airflows.DAG("plain", schedule=None) as plain:
        airflows.EmptyOperator(task_id="nothing")
    for dag in (flights, plain):
        sites.publish(dag)
    with sites.site("simple") as made:
        yield made


@pytest.fixture
def admin(site):
    return site.of("admin")


def said(answer):
    assert answer.headers["content-type"] == "application/json", answer.text
    return answer.json() if AIRFLOW_3 else answer.json


@pytest.mark.parametrize(
    "dag_id",
    [
        "gone",
        "..",
        "a%00b",
        "a%2Fb",
        "..%2F..%2Fetc",
        "%3Cscript%3E",
        "flights%0A",
        "x" * 300,
        "ünïcode",
        "a b",
        "%ff",
    ],
)
@pytest.mark.parametrize("path", ["partitions", "piece?value=x"])
def test_a_dag_that_can_not_be_is_not_found(admin, dag_id, path):
    answer = admin.get(f"{API}/dags/{dag_id}/{path}")
    assert answer.status_code in (404, 308, 307)
    # What can't be an address of the page is Airflow's to answer.
    if dag_id not in ("..", "a%2Fb", "..%2F..%2Fetc", "flights%0A"):
        assert "no DAG" in said(answer)["error"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "no JSON"),
        (b"{", 400, "no JSON"),
        (b"[" * 100_000, 400, "no JSON"),
        (b'{"what": "failed", "n": ' + b"9" * 5_000 + b"}", 400, "no JSON"),
        (b'"text"', 400, "object"),
        (b"[]", 400, "object"),
        (b'{"what": 1}', 400, "failed, chosen or missing"),
        (b'{"what": ["failed"]}', 400, "failed, chosen or missing"),
        (b'{"what": "chosen"}', 400, "which pieces"),
        (b'{"what": "chosen", "pieces": "EWR"}', 400, "list"),
        (b'{"what": "chosen", "pieces": ["EWR"]}', 400, "list"),
        (b'{"what": "chosen", "pieces": [[1]]}', 400, "text"),
        (b'{"what": "failed", "task": 1}', 400, "task=1"),
        (b'{"what": "failed", "run": {"a": 1}}', 400, "run="),
        (b'{"what": "failed", "run": "a\\u0000b"}', 400, "NUL"),
        (b'{"what": "failed", "select": [1]}', 400, "select="),
        (b'{"what": "failed", "select": "' + b"x" * 20_000 + b'"}', 400, "characters"),
        (b'{"what": "failed", "x": "' + b"x" * 1_100_000 + b'"}', 413, ""),
    ],
)
def test_a_body_that_says_nothing_is_refused_by_what_is_wrong(admin, body, status, words):
    send = {"content": body} if AIRFLOW_3 else {"data": body}
    for path in ("preview", "redrive"):
        answer = admin.request(
            "POST", f"{FLIGHTS}/{path}", headers={**admin.token, "Content-Type": "application/json"}, **send
        )
        assert answer.status_code == status, answer.text
        assert words in said(answer)["error"]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1e3", "٣", "9" * 5000])
def test_a_number_of_runs_that_is_none_is_refused(admin, limit):
    answer = admin.get(f"{FLIGHTS}/partitions?limit={limit}")
    assert answer.status_code == 400
    assert "whole number from 1 to 1,000" in said(answer)["error"]


def test_what_is_not_there_is_said_in_json(admin):
    for path in ("", "/nothing", "/dags/flights/nothing", "/dags/a/b/partitions"):
        assert admin.get(API + path).status_code in (404, 308, 307)
    assert said(admin.get(f"{API}/nothing"))["error"]
    assert admin.request("GET", f"{FLIGHTS}/redrive").status_code in (404, 405)
    assert admin.request("DELETE", f"{FLIGHTS}/partitions", headers=admin.token).status_code in (404, 405)
    # No header makes another method of one.
    override = {**admin.token, "X-HTTP-Method-Override": "POST"}
    assert admin.request("GET", f"{FLIGHTS}/redrive", headers=override).status_code in (404, 405)


def test_head_and_options_tell_nobody_more_than_get(site):
    assert site.of(None).request("HEAD", f"{FLIGHTS}/partitions").status_code in (401, 405)
    answer = site.of(None).request("OPTIONS", f"{FLIGHTS}/partitions")
    assert answer.status_code in (200, 405)
    assert "flights" not in answer.text


def test_a_file_is_found_below_any_mark_and_nothing_else_is(admin):
    files = f"{sites.ROOT}/static"
    for mark in (version(), "an-older-one"):
        answer = admin.get(f"{files}/{mark}/react.js")
        assert answer.status_code == 200
        assert "AirflowPlugin" in answer.text
        assert "javascript" in answer.headers["content-type"]
    for path in (
        "1/../files.py",
        "1/%2e%2e/files.py",
        "1/..%2ffiles.py",
        "1//etc/passwd",
        "%2e%2e/1/api.py",
        "1/",
        "1",
    ):
        assert admin.get(f"{files}/{path}").status_code in (307, 308, 404), path


def test_the_page_holds_the_element_with_its_addresses_and_escapes_what_it_is_given(admin):
    page = admin.get(f"{sites.ROOT}/dags/flights").text
    assert f'api="{sites.ROOT}/api"' in page
    assert f'own="{sites.ROOT}/dags/"' in page
    assert 'base="/"' in page
    assert 'dag="flights"' in page
    assert f"{sites.ROOT}/static/{version()}/partitions.js" in page
    page = admin.get(f"{sites.ROOT}/dags/%22%3E%3Cscript%3Ealert(1)").text
    assert "<script>alert" not in page
    assert admin.get(f"{sites.ROOT}/").status_code == 200


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no tabs for plugins")
def test_airflow_3_has_the_tabs(admin):
    (plugin,) = [
        one
        for one in admin.get("/api/v2/plugins?limit=1000").json()["plugins"]
        if one["name"] == "mapping_kit"
    ]
    assert {app["destination"] for app in plugin["react_apps"]} == {"dag", "dag_run", "task_instance", "nav"}
    for app in plugin["react_apps"]:
        assert not app["bundle_url"].startswith("/")  # below a prefix of Airflow's URL too
        assert admin.get("/" + app["bundle_url"]).status_code == 200


@pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3 has tabs")
def test_the_pages_of_a_dag_that_has_partitions_lead_there(admin):
    # Airflow packs this page itself.
    answer = admin.get("/dags/flights/grid", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    link = b'<a id="mapping-kit-link" class="label label-primary" href="/mapping_kit/dags/flights">'
    assert link in gzip.decompress(answer.data)
    assert link in admin.get("/dags/flights/grid").data
    assert b"mapping-kit-link" not in admin.get("/dags/plain/grid").data
    assert b"mapping-kit-link" not in admin.get("/home").data
    assert admin.get("/dags/gone/grid").status_code in (302, 404)


@pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3 has tabs")
def test_the_menu_leads_to_the_overview(admin):
    assert b'href="/mapping_kit/"' in admin.get("/home").data


@pytest.mark.parametrize("prefix", ["/airflow", "/home/data"])
@pytest.mark.skipif(AIRFLOW_3, reason="the prefix of Airflow 3 is known before its first import")
def test_below_a_prefix_all_addresses_have_it(admin, prefix):
    page = admin.get("/mapping_kit/dags/flights", environ_overrides={"SCRIPT_NAME": prefix}).text
    assert f'api="{prefix}/mapping_kit/api"' in page
    assert f'base="{prefix}/"' in page
    assert f'own="{prefix}/mapping_kit/dags/"' in page
    grid = admin.get("/dags/flights/grid", environ_overrides={"SCRIPT_NAME": prefix}).text
    assert f'href="{prefix}/mapping_kit/dags/flights"' in grid


@pytest.mark.skipif(not AIRFLOW_3, reason="of Airflow 3")
def test_below_a_prefix_the_page_alone_has_it(site):
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.testclient import TestClient

    browser = TestClient(Starlette(routes=[Mount("/airflow", app=site.app)]), base_url="http://localhost")
    browser.cookies = site.of("admin").browser.cookies
    page = browser.get("/airflow/mapping-kit/dags/flights").text
    assert 'api="/airflow/mapping-kit/api"' in page
    assert 'base="/airflow/"' in page


PROGRAM = """
import json, sys
import airflow.models, airflow.plugins_manager
from airflow_mapping_kit.plugin import MappingKitPlugin
made = MappingKitPlugin()
before = sorted({name.split(".")[0] for name in sys.modules} & {"flask", "fastapi", "flask_appbuilder"})
page = [name for name in sys.modules if name.startswith("airflow_mapping_kit.ui.")]
print(json.dumps([before, page]))
"""


def test_who_is_no_web_server_imports_nothing_of_it():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    frameworks, page = json.loads(done.stdout.splitlines()[-1])
    assert "airflow_mapping_kit.ui.flask_2" not in page
    assert "airflow_mapping_kit.ui.fastapi_3" not in page
    assert "airflow_mapping_kit.ui.api" not in page


def test_airflow_starts_without_the_page_where_it_can_not_be_imported(monkeypatch, caplog):
    from airflow_mapping_kit.plugin import MappingKitPlugin

    name = f"airflow_mapping_kit.ui.{'fastapi_3' if AIRFLOW_3 else 'flask_2'}"
    monkeypatch.setitem(sys.modules, name, None)
    made = MappingKitPlugin()
    assert (made.flask_blueprints, made.appbuilder_menu_items, made.fastapi_apps, made.react_apps) == (
        [],
        [],
        [],
        [],
    )
    assert "The page Partitions can't be loaded; all else of the kit works" in caplog.text


@pytest.fixture
def address(monkeypatch):
    """Say where Airflow is."""
    monkeypatch.setenv(
        "AIRFLOW__API__BASE_URL" if AIRFLOW_3 else "AIRFLOW__WEBSERVER__BASE_URL",
        "https://airflow.example.com/a/",
    )


def failed():
    """Run a DAG whose fan-in fails, and return its run."""
    with airflows.DAG("fails", schedule=None) as dag:

        @airflows.task
        def load(partition):
            raise ValueError("no such file")

        collect(load.expand(partition=product(origin=["EWR"])))
    sites.publish(dag)
    return airflows.dag_test(dag)


def page_of(run, **query):
    given = urlencode({"task": "load", "run": run.run_id, **query})
    return f"https://airflow.example.com/a{sites.ROOT}/dags/fails?{given}"


def test_the_error_of_a_fan_in_and_its_button_lead_to_the_page(admin, address, caplog):
    run = failed()
    assert f"To see them and to run them again: {page_of(run, show='fbu')}" in caplog.text
    assert button(admin, run, "collect_load", "Partitions") == page_of(run)


def test_an_address_that_airflow_does_not_know_is_in_no_error(site, monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL" if AIRFLOW_3 else "AIRFLOW__WEBSERVER__BASE_URL", "")
    failed()
    assert "1 of 1 pieces failed" in caplog.text
    assert "To see them" not in caplog.text


def test_the_buttons_of_a_parent_lead_to_its_child_runs_and_to_those_that_failed(admin, address):
    with airflows.DAG("ship_order", schedule=None, start_date=START) as child:
        airflows.EmptyOperator(task_id="send")
    with airflows.DAG("shop", schedule=None, start_date=START, params={"to": "order"}) as shop:
        TriggerDagRunPerItemOperator(
            task_id="ship",
            trigger_dag_id="ship_{{ params.to }}",
            items=["a", "b"],
            wait_for_completion=False,
        )
    for dag in (child, shop):
        sites.publish(dag)
    with create_session() as session:
        session.get(DagModel, "ship_order").is_paused = False
    first, _ = ran = [airflows.dag_test(shop) for _ in range(2)]
    started = [{row["run_id"] for row in airflows.xcom_of(run, "ship")} for run in ran]
    failed = min(started[0])
    with create_session() as session:
        session.query(DagRun).filter_by(dag_id="ship_order", run_id=failed).one().state = "failed"
    assert [len(one) for one in started] == [2, 2]

    for name, wanted in (("Child runs", started[0]), ("Failed child runs", {failed})):
        url = button(admin, first, "ship", name)
        assert url.startswith("https://airflow.example.com/a/")
        assert listed(admin, url.removeprefix("https://airflow.example.com/a")) == wanted


def button(admin, run, task_id, name):
    """Return where a button of an instance leads, as Airflow's page is told."""
    if AIRFLOW_3:
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{quote(run.run_id)}/taskInstances/{task_id}/links"
        return admin.get(path).json()["extra_links"][name]
    given = {"dag_id": run.dag_id, "task_id": task_id, "link_name": name}
    answer = admin.get(
        "/extra_links", query_string={**given, "execution_date": run.execution_date.isoformat()}
    )
    return answer.json["url"]


def listed(admin, address):
    """Return the ids of the runs that Airflow lists at an address of its own."""
    path, _, query = address.partition("?")
    if not AIRFLOW_3:
        return set(re.findall(r">(per_item__[^<]+)<", unescape(admin.get(address).text)))
    # What the page asks for with what its address says.
    assert path.endswith("/runs")
    answer = admin.get(f"/api/v2{path.removesuffix('/runs')}/dagRuns?{query}")
    return {run["dag_run_id"] for run in answer.json()["dag_runs"]}
