"""By keyboard alone, in the dark, on a telephone; and with what strangers have written."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

FOCUS = """() => { let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
    return at?.getAttribute("aria-label") ?? at?.textContent; }"""


def until_focused(page, wanted, *, key="Tab", most=60):
    """Press a key until the focus is where somebody wants it."""
    for _ in range(most):
        if re.search(wanted, page.evaluate(FOCUS) or ""):
            return
        page.keyboard.press(key)
    pytest.fail(f"{most} times {key} don't lead to {wanted}")


def test_all_of_it_works_by_keyboard_alone(visit):
    page = visit("op").see("flights")
    page.keyboard.press("/")
    page.keyboard.type("LGA 2013-05")
    expect(page.locator("mapping-kit-partitions .shown")).to_contain_text("31 of 1,095 shown")
    # Out of the field, and all are shown again.
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("mapping-kit-partitions .shown")).to_have_count(0)
    until_focused(page, "^[A-Z]{3} 2013-")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    where = page.evaluate(FOCUS)
    page.keyboard.press("ArrowRight")
    assert page.evaluate(FOCUS) != where
    page.keyboard.press("Enter")
    expect(page.locator("mapping-kit-partitions .piece .history li").first).to_be_visible()
    assert "piece=date%3D2013-" in page.url
    page.keyboard.press("Escape")
    expect(page.locator("mapping-kit-partitions .piece")).to_have_count(0)
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator("mapping-kit-partitions .foot")).to_contain_text("3 chosen")
    page.keyboard.press("Escape")
    expect(page.locator("mapping-kit-partitions .foot")).to_be_hidden()
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    assert "show=fbu" in page.url
    page.keyboard.press("r")
    preview = page.locator("mapping-kit-partitions dialog[open]")
    expect(preview).to_contain_text("Run 8 partitions again")
    # What runs is named where the focus is: Enter would do it.
    expect(preview.get_by_role("button", name="Clear")).to_be_focused()
    page.keyboard.press("Escape")
    expect(preview).to_have_count(0)


@pytest.mark.parametrize("dark", [False, True])
def test_a_telephone_shows_all_of_it_by_day_and_by_night(site, visit, dark):
    visitor = visit("op", width=360, height=740, dark=dark)
    page = visitor.page
    page.goto(f"{site.root}/dags/flights")
    expect(page.locator("mapping-kit-partitions .sentence")).to_contain_text("11 of 1,095")
    right = page.locator("mapping-kit-partitions .page").evaluate(
        "node => node.getBoundingClientRect().right"
    )
    assert right <= 361
    assert page.locator("mapping-kit-partitions .page").evaluate("node => node.scrollWidth") <= 361
    page.locator("mapping-kit-partitions button", has_text="Re-run 8 failed…").click()
    box = page.locator("mapping-kit-partitions dialog[open]").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 361
    page.keyboard.press("Escape")


@pytest.fixture(scope="module")
def hostile(site):
    """Run the DAG of strangers' text: all of its pieces fail."""
    site.airflow.wait_for_dag("hostile")
    site.airflow.unpause("hostile")
    run_id = site.airflow.trigger("hostile")
    assert site.airflow.wait("hostile", run_id) == "failed"
    return run_id


def test_what_strangers_have_written_is_shown_as_text_and_does_nothing(site, visit, hostile):
    visitor = visit("op")
    page = visitor.see("hostile")
    title = page.title()
    names = [partition["name"] for partition in site.airflow.xcom("hostile", hostile, "product")]
    expect(page.locator("mapping-kit-partitions [role=gridcell][data-s=f]")).to_have_count(len(names))
    for place in range(len(names)):
        page.locator("mapping-kit-partitions [role=gridcell][data-s=f]").nth(place).click()
        expect(page.locator("mapping-kit-partitions .history .trace")).to_contain_text(
            "<script>document.title='broken into'</script>"
        )
        page.keyboard.press("Escape")
    for view in ("?view=list", "?run=" + hostile.replace("+", "%2B").replace(":", "%3A")):
        page = visitor.see("hostile", view)
        expect(page.locator("mapping-kit-partitions")).to_contain_text("<img src=x onerror=")
    page = visitor.see("hostile")
    page.locator("mapping-kit-partitions button", has_text="Re-run 8 failed…").first.click()
    # What a stranger wrote is no template either.
    expect(page.locator("mapping-kit-partitions dialog[open]")).to_contain_text("{{ 7 * 7 }}")
    page.keyboard.press("Escape")
    page.goto(f"{site.root}/")
    expect(page.locator("mapping-kit-partitions tbody")).to_contain_text("<b>Hostile</b>")
    page.goto(site.partitions("hostile", "?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&show=%3Cb%3E&run="))
    expect(page.locator("mapping-kit-partitions .sentence")).to_be_visible()
    assert "broken into" not in {page.title(), title}
    assert page.locator("mapping-kit-partitions img, mapping-kit-partitions script").count() == 0
