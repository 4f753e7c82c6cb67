"""A run at work is halted, changed and let go on from the page, by who may."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

DAG = "shipping"
PANEL = "mapping-kit-partitions .steer form"


@pytest.fixture(scope="module")
def run(site):
    """Give a run of which instances are at work."""
    site.airflow.wait_for_dag(DAG)
    site.airflow.unpause(DAG)
    run_id = site.airflow.trigger(DAG)
    site.processes.wait(
        "An instance is at work",
        lambda: any(one["state"] == "running" for one in site.airflow.instances(DAG, run_id, "ship")),
        seconds=120,
    )
    return run_id


def test_who_may_clear_steers_a_run_and_who_may_not_sees_what_holds(site, visit, run):
    page = visit("op").see(DAG)
    panel = page.locator(PANEL)
    expect(panel).to_contain_text("At work: ship")
    panel.get_by_role("button", name="Pause").press("Enter")
    expect(panel).to_contain_text("Paused: ship")
    expect(panel).to_contain_text("by op, just now")
    # By the label, as who hears the page finds it; a word that can't be is refused there.
    rate = panel.get_by_label("Calls at most")
    rate.fill("fast")
    rate.press("Enter")
    expect(panel.get_by_role("alert")).to_contain_text("'fast' is not a rate: write calls per second")
    rate.fill("600/m")
    panel.get_by_label("Items at once").fill("50")
    panel.get_by_role("button", name="Apply").click()
    expect(panel.get_by_role("button", name="All as the DAG says")).to_be_visible()
    expect(panel.get_by_label("Calls at most")).to_have_value("600/m")

    seen = visit("viewer").see(DAG).locator(PANEL)
    expect(seen).to_contain_text("Paused: ship")
    expect(seen.get_by_role("button", name="Resume")).to_be_disabled()
    expect(seen.get_by_label("Items at once")).to_have_value("50")

    rate.fill("")
    rate.press("Enter")
    expect(panel.get_by_label("Calls at most")).to_have_value("")
    panel.get_by_role("button", name="Resume").press("Enter")
    # 400 items of half a second, 100 at a time.
    assert site.airflow.wait(DAG, run, seconds=120) == "success"
    expect(panel).to_have_count(0, timeout=90_000)
    told = site.postgres.query("SELECT owner FROM log WHERE dag_id = %s AND event = 'mapping_kit_set'", [DAG])
    assert [row["owner"] for row in told] == ["op"] * 4
