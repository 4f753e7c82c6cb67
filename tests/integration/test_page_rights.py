"""Who sees the page Partitions, its data, and what its buttons may do: before Airflow's own web server."""

from __future__ import annotations

import re
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

import airflows
import sites
from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import product

API = f"{sites.ROOT}/api"
FLIGHTS = f"{API}/dags/flights"


@pytest.fixture(scope="module", params=["fab", "simple"] if AIRFLOW_3 else ["fab"])
def site(metadata_db, request):
    if AIRFLOW_3 and request.param == "fab":
        pytest.importorskip("airflow.providers.fab")
    for name in ("flights", "secret"):
        with airflows.DAG(name, schedule=None) as dag:

            @airflows.task
            def load(partition):
                if partition == {"origin": "LGA"}:
                    raise ValueError("no such file")

            collect(load.expand(partition=product(origin=["EWR", "LGA"])))
        airflows.dag_test(dag)
        sites.publish(dag)
    with airflows.DAG("plain", schedule=None) as plain:
        airflows.EmptyOperator(task_id="nothing")
    sites.publish(plain)
    with sites.site(request.param) as made:
        yield made


@pytest.fixture
def asked_by(site):
    """Give the browser of somebody, where the auth manager knows such rights."""

    def of(name):
        if name not in {*site.people, None}:
            pytest.skip("this auth manager has no rights of single DAGs")
        return site.of(name)

    return of


EVERYBODY = ["admin", "op", "user", "viewer", "editor", "reader", "powerless", None]
SEES = {
    "flights": {"admin", "op", "user", "viewer", "editor", "reader"},
    "secret": {"admin", "op", "user", "viewer"},
}
CLEARS = {"flights": {"admin", "op", "user", "editor"}, "secret": {"admin", "op", "user"}}
FAILED = {"what": "failed", "digest": "an old one"}


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("dag", SEES)
def test_who_may_read_instances_and_runs_of_a_dag_sees_its_data_and_nobody_else(asked_by, name, dag):
    refused = 401 if name is None else 403
    for path in ("partitions", "piece?value=EWR"):
        answer = asked_by(name).get(f"{API}/dags/{dag}/{path}")
        assert answer.headers["content-type"] == "application/json"
        assert (answer.status_code in (401, 403)) == (name not in SEES[dag]), answer.text
        if name not in SEES[dag]:
            assert answer.status_code == refused
            assert list(answer.json if not AIRFLOW_3 else answer.json()) == ["error"]
    answer = asked_by(name).post(f"{API}/dags/{dag}/preview", FAILED)
    if name not in SEES[dag]:
        assert answer.status_code in (400, refused)  # Airflow 2 misses the token first
        assert "EWR" not in answer.text


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("dag", SEES)
def test_only_who_may_clear_instances_clears_and_only_who_may_trigger_runs_starts(asked_by, name, dag):
    for what in ("failed", "missing"):
        answer = asked_by(name).post(f"{API}/dags/{dag}/redrive", {**FAILED, "what": what})
        assert (answer.status_code in (400, 401, 403)) == (name not in CLEARS[dag]), (what, answer.text)


@pytest.mark.parametrize("name", EVERYBODY)
def test_the_overview_names_the_dags_that_somebody_may_see(asked_by, name):
    answer = asked_by(name).get(f"{API}/dags")
    if name is None:
        assert answer.status_code == 401
        return
    found = answer.json if not AIRFLOW_3 else answer.json()
    names = {dag["id"] for dag in found["dags"]}
    assert names & {*SEES} == {dag for dag, people in SEES.items() if name in people}
    assert "plain" not in names


def test_the_errors_of_pieces_are_for_who_may_read_xcoms(asked_by):
    for name in ("viewer", "reader"):
        answer = asked_by(name).get(f"{FLIGHTS}/partitions")
        assert ("no such file" in answer.text) == (name == "viewer"), answer.text
        answer = asked_by(name).get(f"{FLIGHTS}/piece?value=LGA")
        assert answer.status_code == 200
        assert ("no such file" in answer.text) == (name == "viewer"), answer.text


def routes_of(app):
    """Return the routes of the page, as `(method, path)` of the DAG flights."""
    if not AIRFLOW_3:
        for rule in app.url_map.iter_rules():
            if rule.rule.startswith(sites.ROOT):
                path = re.sub(r"<(\w+:)?rest>", "nothing", rule.rule)
                path = path.replace("<string:mark>", "1").replace("<path:name>", "react.js")
                for method in rule.methods - {"OPTIONS"}:
                    yield method, path.replace("<string:dag_id>", "flights")
        return
    from starlette.routing import Mount

    (page,) = [route.app for route in app.routes if getattr(route, "path", "") == sites.ROOT]
    for route in page.routes:
        if isinstance(route, Mount):
            yield "GET", f"{sites.ROOT}{route.path}/1/react.js"
            continue
        for method in route.methods:
            yield method, sites.ROOT + route.path.replace("{dag_id}", "flights")


def test_no_route_gives_anything_to_nobody_but_files(site):
    public = set()
    for method, path in routes_of(site.app):
        answer = site.of(None).request(method, path, headers={"X-Mapping-Kit": "1"}, follow_redirects=False)
        if answer.status_code < 300:
            public.add(path)
            assert "EWR" not in answer.text
        else:
            # Airflow 2 misses the token of what would change something before it looks at who asks.
            assert answer.status_code in (302, 400, 401, 404), (method, path, answer.status_code)
        if answer.status_code == 302:
            assert "/login/" in answer.headers["location"]
    assert public == {f"{sites.ROOT}/static/1/react.js"}
    assert len(list(routes_of(site.app))) >= 8


@pytest.mark.skipif(not AIRFLOW_3, reason="of Airflow 3")
def test_nobody_who_opens_the_page_is_sent_to_sign_in_and_back(site):
    page = f"{sites.ROOT}/dags/flights?show=f"
    answer = site.of(None).request("GET", page, headers={"Accept": "text/html,*/*"}, follow_redirects=False)
    assert answer.status_code == 307
    address = urlsplit(answer.headers["location"])
    assert address.path == "/api/v2/auth/login"
    assert parse_qs(address.query)["next"] == [page]
    # Airflow itself takes it for an address of its own.
    signing_in = site.of(None).request("GET", answer.headers["location"], follow_redirects=False)
    assert signing_in.status_code == 307
    assert "next=" in signing_in.headers["location"]


def test_no_schema_and_no_documentation_of_the_routes_is_served(site):
    for path in ("docs", "redoc", "openapi.json"):
        assert site.of("admin").get(f"{sites.ROOT}/{path}").status_code == 404


def test_an_action_needs_what_only_a_page_of_airflow_can_send(site):
    for path in ("preview", "redrive"):
        missing = site.of("admin").post(f"{FLIGHTS}/{path}", FAILED, headers={})
        assert missing.status_code == (403 if AIRFLOW_3 else 400)
        assert "error" in (missing.json() if AIRFLOW_3 else missing.json)
        if AIRFLOW_3:
            other = {"X-Mapping-Kit": "1", "Sec-Fetch-Site": "cross-site"}
            assert site.of("admin").post(f"{FLIGHTS}/{path}", FAILED, headers=other).status_code == 403
        else:
            stolen = site.of("viewer").token
            assert site.of("admin").post(f"{FLIGHTS}/{path}", FAILED, headers=stolen).status_code == 400
        # A form of another site's can't send JSON, and what it can send is no JSON.
        form = site.of("admin").request(
            "POST", f"{FLIGHTS}/{path}", data={"what": "failed"}, headers=site.of("admin").token
        )
        assert form.status_code == 400, form.text


def test_a_session_that_has_ended_is_told_so_in_json(site):
    if AIRFLOW_3:
        browser = sites.Asking3(site.app, "no.such.token")
    else:
        browser = sites.Asking2(site.app, "viewer")
        assert browser.get(f"{API}/dags").status_code == 200
        browser.browser.get("/logout/")
        browser.browser.post("/logout/", headers=browser.token)
    answer = browser.get(f"{API}/dags", headers={"If-None-Match": '"x"'})
    assert answer.status_code in ((401, 403) if AIRFLOW_3 else (401,))
    assert "error" in (answer.json() if AIRFLOW_3 else answer.json)


@pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3 takes tokens")
def test_a_password_that_airflows_api_takes_is_none_of_the_page(site):
    answer = site.of(None).get(f"{API}/dags", headers={"Authorization": "Basic YWRtaW46YWRtaW4="})
    assert answer.status_code == 401


def test_a_page_tells_who_may_not_see_a_dag_without_naming_what_is_in_it(asked_by):
    answer = asked_by("reader").get(f"{sites.ROOT}/dags/secret")
    if AIRFLOW_3:
        assert answer.status_code == 200  # without data: those are guarded
    else:
        assert answer.status_code == 403
        assert "You may not see" in answer.text
        assert "mapping-kit-partitions" not in answer.text


def granted(site, right):
    """Grant a right to the role Viewer for a while."""
    if AIRFLOW_3:
        from airflow.api_fastapi.app import get_auth_manager

        manager = get_auth_manager()
        return _granted(manager.flask_app, manager.security_manager, right, manager.cache.clear)
    return _granted(site.app, site.app.appbuilder.sm, right, lambda: None)


@contextmanager
def _granted(app, manager, right, forget):
    with app.app_context():
        role, made = manager.find_role("Viewer"), manager.create_permission(*right)
        manager.add_permission_to_role(role, made)
    forget()
    try:
        yield
    finally:
        with app.app_context():
            manager.remove_permission_from_role(manager.find_role("Viewer"), manager.get_permission(*right))
        forget()


def test_a_viewer_has_the_way_to_the_page_that_the_documentation_says_to_grant(site):
    if "reader" not in site.people:
        assert site.of("viewer").get("/api/v2/plugins").status_code == 200  # of the Simple auth manager
        return
    right = ("can_read", "Plugins") if AIRFLOW_3 else ("menu_access", "Partitions")

    def has_it():
        if AIRFLOW_3:
            return site.of("viewer").get("/api/v2/plugins").status_code == 200
        return 'href="/mapping_kit/"' in site.of("viewer").get("/home").text

    assert not has_it()
    with granted(site, right):
        assert has_it()
