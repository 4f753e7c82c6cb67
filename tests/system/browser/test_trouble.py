"""What the page does where it can't be told anything: no database, no DAG, nothing mapped."""

from __future__ import annotations

from contextlib import contextmanager

from playwright.sync_api import expect

from stack.airflow import AIRFLOW_3


@contextmanager
def no_database(site):
    """Take the database away from the web server, and give it back."""
    site.postgres.query("ALTER ROLE web NOLOGIN")
    site.postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web'")
    try:
        yield
    finally:
        site.postgres.query("ALTER ROLE web LOGIN")


def test_a_database_that_goes_away_is_told_and_what_was_known_stays(site, visit):
    visitor = visit("op")
    page = visitor.see("flights")
    cells = page.locator("mapping-kit-partitions [role=gridcell][data-cell]")
    shown = cells.count()
    with no_database(site):
        page.locator("mapping-kit-partitions button[title='Read again']").click()
        trouble = page.locator("mapping-kit-partitions .trouble")
        expect(trouble).to_be_visible()
        expect(trouble).to_contain_text("Showing what was known at")
        assert cells.count() == shown
        page.locator("mapping-kit-partitions button", has_text="Re-run 8 failed…").first.click()
        expect(page.locator("mapping-kit-partitions dialog[open] [role=alert]")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("mapping-kit-partitions dialog[open]")).to_have_count(0)
        page.locator("mapping-kit-partitions .trouble button").click()
        expect(trouble).to_be_visible()
    # By itself, and so soon that nobody needs to click.
    expect(trouble).to_be_hidden(timeout=90_000)
    expect(page.locator("mapping-kit-partitions .sentence")).to_contain_text("11 of 1,095")


def test_a_dag_that_is_not_there_is_told(site, visit):
    visitor = visit("admin")
    page = visitor.page
    page.goto(f"{site.root}/dags/no_such_dag")
    expect(page.locator("body")).to_contain_text("no_such_dag")
    answer = page.context.request.get(f"{site.root}/api/dags/no_such_dag/partitions")
    assert answer.status in {403, 404}
    assert "no_such_dag" in answer.json()["error"]


def test_a_dag_without_mapped_tasks_says_so(site, visit):
    site.airflow.wait_for_dag("unmapped")
    page = visit("admin").page
    page.goto(site.partitions("unmapped"))
    expect(page.locator("mapping-kit-partitions")).to_contain_text("mapped")


def test_a_dag_whose_file_is_gone_or_does_not_import_is_still_shown(site, visit):
    # What Airflow notes of such a file: it stops scheduling the DAG, and keeps what its runs have left.
    gone = "is_stale = true" if AIRFLOW_3 else "is_active = false"
    site.postgres.query(f"UPDATE dag SET {gone}, has_import_errors = true WHERE dag_id = 'even_1095'")
    try:
        page = visit("viewer").page
        page.goto(f"{site.root}/dags/even_1095")
        expect(page.locator("mapping-kit-partitions .sentence")).to_contain_text("29 of 1,095")
    finally:
        back = "is_stale = false" if AIRFLOW_3 else "is_active = true"
        site.postgres.query(f"UPDATE dag SET {back}, has_import_errors = false WHERE dag_id = 'even_1095'")


def test_other_dimensions_than_today_are_told_not_guessed(site, visit):
    page = visit("viewer").see("flights", "?piece=country%3DUS")
    expect(page.locator("mapping-kit-partitions .sentence")).to_contain_text("11 of 1,095")
