"""A year of partitions: what is wrong is seen, run again, loaded, and followed, without a reload of the page."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from stack.airflow import AIRFLOW_3

SECONDS = 150_000
LATE = [f"LGA 2013-05-{day}" for day in range(25, 32)]


def cell(page, label):
    return page.locator(f'mapping-kit-partitions [role=gridcell][aria-label^="{label}:"]')


def sentence(page):
    return page.locator("mapping-kit-partitions .sentence")


def button(page, text):
    return page.locator("mapping-kit-partitions button", has_text=text)


def tries(site, dag_id, run_id):
    return {
        (one["task_id"], one["map_index"]): (one["state"], one["try_number"])
        for one in site.airflow.instances(dag_id, run_id)
    }


def from_the_dag(visitor, dag_id):
    """Go to the page the way people do: from that of the DAG."""
    page = visitor.page
    page.goto(f"{visitor.site.address}/dags/{dag_id}" + ("" if AIRFLOW_3 else "/grid"))
    page.get_by_role("link", name="Partitions", exact=True).first.click()
    sentence(page).wait_for()
    return page


def test_the_failing_origin_of_a_year_is_found_and_run_again_in_two_clicks(site, visit):
    before = tries(site, "mended", "manual__may_of_LGA")
    page = from_the_dag(visit("op"), "mended")
    expect(sentence(page)).to_contain_text("11 of 1,095 partitions are not loaded")
    group = page.locator("mapping-kit-partitions article", has_text="7 × FileNotFoundError")
    expect(group).to_contain_text("date: 2013-05-25 … 2013-05-31 · origin: LGA")
    expect(group).to_contain_text("The landing job of LGA has not delivered.")
    page.evaluate("globalThis.never_left = true")

    group.get_by_role("button", name="Re-run 7…").click()
    preview = page.locator("mapping-kit-partitions dialog")
    expect(preview).to_contain_text("Run 7 partitions again")
    expect(preview).to_contain_text("manual__may_of_LGA")
    for label in LATE:
        expect(preview).to_contain_text(label)
    preview.get_by_role("button", name="Clear 8 instances").click()

    for label in LATE:
        expect(cell(page, label)).to_have_attribute("aria-label", f"{label}: loaded", timeout=SECONDS)
    expect(sentence(page)).to_contain_text("4 of 1,095 partitions are not loaded")
    expect(group).to_have_count(0)
    assert page.evaluate("globalThis.never_left")
    assert site.airflow.wait("mended", "manual__may_of_LGA") == "success"

    after = tries(site, "mended", "manual__may_of_LGA")
    again = {place for place in after if after[place] != before[place]}
    assert again == {("load", index) for index in range(24, 31)} | {("collect_load", -1)}
    (logged,) = site.postgres.query(
        "SELECT owner, extra FROM log WHERE event = 'mapping_kit_redrive' AND dag_id = 'mended'"
    )
    assert logged["owner"] == "op"


def test_what_no_run_has_made_is_loaded_by_one_run_however_often_it_is_asked_for(site, visit):
    page = visit("op").see("mended")
    for origin in ("EWR", "JFK", "LGA"):
        expect(cell(page, f"{origin} 2013-07-03")).to_have_attribute(
            "aria-label", re.compile("missing: no run has it")
        )
    other = visit("admin").see("mended")
    for tab in (page, other):
        button(tab, "Load 3 missing…").click()
        expect(tab.locator("mapping-kit-partitions dialog")).to_contain_text(
            "Load 3 missing partitions with 1 new run"
        )
    button(page, "Start 1 run").click()
    expect(page.locator("mapping-kit-partitions .toast")).to_contain_text("1 run started.")
    button(other, "Start 1 run").click()
    expect(other.locator("mapping-kit-partitions dialog h2")).to_have_text(
        re.compile("There is nothing to do|Nothing was changed")
    )

    for tab in (page, other):
        for origin in ("EWR", "JFK", "LGA"):
            label = f"{origin} 2013-07-03"
            expect(cell(tab, label)).to_have_attribute("aria-label", f"{label}: loaded", timeout=SECONDS)
    made = [run for run in site.airflow.runs("mended") if run["run_id"].startswith("missing__")]
    assert [(run["run_id"][:31], run["conf"]["start_date"], run["conf"]["end_date"]) for run in made] == [
        ("missing__2013-07-03__2013-07-03", "2013-07-03", "2013-07-03")
    ]


def test_a_preview_that_is_old_is_shown_anew_and_nothing_is_cleared(site, visit):
    page, other = visit("op").see("mended"), visit("admin").see("mended")
    for tab in (page, other):
        button(tab, re.compile("Re-run 1 failed…")).first.click()
        expect(tab.locator("mapping-kit-partitions dialog")).to_contain_text("JFK 2013-12-24")
    button(other, "Clear 2 instances").click()
    expect(other.locator("mapping-kit-partitions .toast")).to_contain_text("2 instances cleared.")
    answer = None
    with page.expect_response(lambda response: response.url.endswith("/redrive")) as waited:
        button(page, "Clear 2 instances").click()
    answer = waited.value
    assert answer.status == 409
    assert answer.json()["preview"]["instances"] in {0, 1, 2}
    expect(page.locator("mapping-kit-partitions dialog")).to_contain_text(
        re.compile("There is nothing to do|Run 1 partition again")
    )
    expect(cell(other, "JFK 2013-12-24")).to_have_attribute(
        "aria-label", "JFK 2013-12-24: loaded", timeout=SECONDS
    )
    page.keyboard.press("Escape")
    expect(sentence(other)).to_contain_text("All 1,095 partitions are loaded")


def test_every_try_of_an_old_and_of_a_new_run_has_a_link_to_its_log(site, visit):
    visitor = visit("viewer")
    page = visitor.see("mended", "?piece=date%3D2013-05-31%2Forigin%3DLGA")
    history = page.locator("mapping-kit-partitions .history li")
    expect(history).to_have_count(2)
    expect(history.nth(0)).to_contain_text("manual__may_of_LGA")
    expect(history.nth(1)).to_contain_text("manual__the_year")
    for row, run_id in ((history.nth(0), "manual__may_of_LGA"), (history.nth(1), "manual__the_year")):
        href = row.get_by_role("link", name=re.compile("log|try")).last.get_attribute("href")
        (piece,) = [
            one["map_index"]
            for one in site.airflow.instances("mended", run_id, "load")
            if one["rendered_map_index"] == "LGA 2013-05-31"
        ]
        assert run_id in href
        assert re.search(rf"(map_index=|/mapped/){piece}\b", href)
        tab = visitor.tab()
        assert tab.goto(f"{site.address}{href}").status == 200
        tab.close()


def test_a_deep_link_keeps_filter_state_partition_and_view(site, visit):
    visitor = visit("viewer")
    page = visitor.see("flights", "?show=f&q=LGA&piece=date%3D2013-05-27%2Forigin%3DLGA")
    expect(page.locator("mapping-kit-partitions .piece h2")).to_have_text("LGA 2013-05-27")
    expect(page.locator("mapping-kit-partitions .shown")).to_contain_text("7 of 1,095 shown")
    expect(page.locator("mapping-kit-partitions input[type=search]")).to_have_value("LGA")
    page = visitor.see("flights", "?view=list&show=fm")
    expect(page.locator("mapping-kit-partitions tbody tr")).to_have_count(11)
    page = visitor.see("flights", "?select=origin%3DJFK%20date%3D2013-12-20..2013-12-31")
    expect(page.locator("mapping-kit-partitions .shown")).to_contain_text("12 of 1,095 shown")
    page = visitor.see("flights", "?run=manual__the_year")
    expect(sentence(page)).to_contain_text("that failed here were loaded by a later run")


def test_a_selection_that_does_not_parse_is_marked_where_it_goes_wrong(visit):
    page = visit("viewer").see("flights")
    page.locator("mapping-kit-partitions input[type=search]").fill("origin=LGA date=")
    wrong = page.locator("mapping-kit-partitions .wrong")
    expect(wrong).to_be_visible()
    expect(wrong.locator("mark")).to_have_count(1)
    expect(sentence(page)).to_be_visible()
