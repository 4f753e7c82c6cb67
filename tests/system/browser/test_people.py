"""Who sees what, and who may do what."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from stack.airflow import AIRFLOW_3

POST = """async ([path, csrf, body]) => (await fetch(path, {method: "POST", body: JSON.stringify(body),
    headers: {"Content-Type": "application/json", "X-Mapping-Kit": "1", "X-CSRFToken": csrf}})).status"""


def posted(site, page, dag_id, what, body):
    element = page.locator("mapping-kit-partitions")
    csrf = element.get_attribute("csrf") or ""
    return page.evaluate(POST, [f"{site.root}/api/dags/{dag_id}/{what}", csrf, body])


def test_a_viewer_sees_everything_and_can_run_nothing(site, visit):
    page = visit("viewer").see("flights")
    expect(page.locator("mapping-kit-partitions article").first).to_contain_text("FileNotFoundError")
    for text in ("Re-run 8 failed…", "Load 3 missing…"):
        refused = page.locator("mapping-kit-partitions button", has_text=text)
        expect(refused).to_be_disabled()
        assert "Your role may not" in refused.get_attribute("title")
    for what in ("failed", "missing"):
        body = {"what": what, "task": "load", "digest": "x"}
        assert posted(site, page, "flights", "redrive", body) == 403


def test_nobody_is_sent_to_the_sign_in_and_gets_no_data(site, visit):
    page = visit(None).page
    page.goto(site.partitions("flights"))
    page.wait_for_url(lambda url: "login" in url)
    for path in ("/api/dags", "/api/dags/flights/partitions", "/api/dags/flights/piece?value=a&value=b"):
        assert page.context.request.get(f"{site.root}{path}").status == 401


@pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3's own auth manager has no rights of single DAGs")
def test_who_has_the_rights_of_one_dag_sees_and_runs_that_one(site, visit):
    page = visit("team").see("flights")
    expect(page.locator("mapping-kit-partitions button", has_text="Re-run 8 failed…")).to_be_enabled()
    listed = page.context.request.get(f"{site.root}/api/dags").json()
    assert [dag["id"] for dag in listed["dags"]] == ["flights"]
    other = page.context.request.get(f"{site.root}/api/dags/mended/partitions")
    assert other.status == 403
    body = {"what": "failed", "task": "load", "digest": "x"}
    assert posted(site, page, "mended", "redrive", body) == 403
    assert posted(site, page, "flights", "preview", {"what": "failed", "task": "load"}) == 200


def test_a_request_that_another_site_made_the_browser_send_is_refused(site, visit):
    page = visit("admin").see("flights")
    forged = page.evaluate(
        """async (path) => (await fetch(path, {method: "POST", body: '{"what": "failed"}',
            headers: {"Content-Type": "text/plain"}})).status""",
        f"{site.root}/api/dags/flights/redrive",
    )
    assert forged in {400, 403}


def test_the_overview_names_the_worst_dag_first(site, visit):
    page = visit("viewer").page
    page.goto(f"{site.root}/")
    rows = page.locator("mapping-kit-partitions tbody tr")
    flights = page.locator("mapping-kit-partitions tr", has_text="flights")
    # One DAG after the other is reckoned, while the page asks again.
    expect(flights).to_contain_text("8 failed", timeout=60_000)
    expect(rows.first).to_contain_text("even_1095")
    page.locator("mapping-kit-partitions a", has_text="flights").click()
    expect(page.locator("mapping-kit-partitions .sentence")).to_contain_text("11 of 1,095")
