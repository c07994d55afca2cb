"""What people do with the inspector, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
PAGES = (
    "/",
    "/search?q=approach",
    "/pattern?id=faller",
    "/forget?id=faller",
    "/predict",
    "/diff?context=the+build+fails",
    "/compare",
    "/compare?a=riser&b=faller",
    "/rates?by=file",
    "/related?path=src/main.py",
    "/clusters",
    "/sources",
    "/health",
    "/findings",
    "/nosuch",
)


def base(page: Page) -> str:
    return re.match(r"http://[^/]+", page.url)[0]  # type: ignore[index]


def opened(page: Page, path: str) -> None:
    """Open a page, and wait until all of its parts are there."""
    page.goto(base(page) + path)
    page.locator(".waiting").wait_for(state="detached")


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people from using a page."""
    page.evaluate(AXE)
    found: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{item['id']}: {item['nodes'][0]['html'][:120]}"
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
    ]


def test_the_address_opens_and_the_token_is_gone_from_it(page: Page, address: str) -> None:
    assert "token" not in page.url
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    expect(page.locator("section", has_text="Falling").last).to_contain_text("approach faller")


def test_another_browser_with_the_same_address_stays_outside(
    page: Page, address: str, chromium: Browser
) -> None:
    other = chromium.new_context()
    answer = other.new_page().goto(address)
    assert answer is not None and answer.status == 401
    other.close()


def test_search_answers_as_you_type(page: Page) -> None:
    page.keyboard.press("/")
    expect(page.locator("input[type=search]")).to_be_focused()
    opened(page, "/search")
    page.locator("input[type=search]").press_sequentially("approach faller", delay=20)
    first = page.locator("#part tbody tr").first
    expect(first).to_contain_text("approach faller")
    expect(page.locator("#part")).to_contain_text("like “approach faller”")
    first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("approach faller")


def test_a_pattern_shows_its_rate_over_time_and_its_contexts(page: Page) -> None:
    opened(page, "/pattern?id=faller")
    for name in ("trend-chart", "contexts-chart"):
        chart = page.locator(f"[data-chart={name}]")
        expect(chart.locator("svg")).to_be_visible()
        assert chart.get_attribute("aria-label")
    page.get_by_text("Table of 28 days").click()
    expect(page.locator("td", has_text="2026-03-14").first).to_be_visible()


def test_a_prediction_is_made_and_its_parts_add_up(page: Page) -> None:
    opened(page, "/predict")
    page.get_by_label("The situation in words").fill("the build fails in module 2")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("heading", name="What works here?")).to_be_visible()
    expect(page.locator("[data-chart=parts-1] svg")).to_be_visible()
    told = page.locator(".answers > li").first
    shown = float(re.search(r"(\d+)\s%", told.locator("b").first.inner_text())[1])  # type: ignore[index]
    parts = told.locator("details").first.locator("tbody td:first-child").all_inner_texts()
    assert sum(float(part) for part in parts) == pytest.approx(shown, abs=1)
    # One that is folded away is drawn when it is opened.
    page.get_by_text("what adds up to it").nth(1).click()
    expect(page.locator("[data-chart=parts-2] svg")).to_be_visible()


def test_a_pattern_is_edited(page: Page) -> None:
    opened(page, "/pattern?id=untested")
    page.get_by_text("Edit description and type").click()
    page.get_by_label("Description").fill("still never tried")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("still never tried")
    expect(page.get_by_role("status")).to_contain_text("was changed")


def test_a_pattern_is_forgotten_only_by_typing_its_id(page: Page) -> None:
    opened(page, "/pattern?id=faller")
    page.get_by_role("link", name="Forget…").click()
    expect(page.locator("#part")).to_contain_text("28")
    confirm = page.get_by_label("To be sure")
    confirm.fill("riser")
    page.get_by_role("button", name="Forget it for good").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing was forgotten")
    opened(page, "/forget?id=faller")
    page.get_by_label("To be sure").fill("faller")
    page.get_by_role("button", name="Forget it for good").click()
    expect(page.get_by_role("status")).to_contain_text("forgotten")
    expect(page.locator("#part")).not_to_contain_text("faller")


def test_an_error_of_a_part_is_shown_in_its_place(page: Page) -> None:
    opened(page, "/diff?context=x&from=2026-03-02&to=2026-03-01")
    expect(page.locator("#part")).to_contain_text("earlier time first")


def test_a_part_may_take_minutes(page: Page) -> None:
    assert page.evaluate("htmx.config.defaultTimeout") == 600_000


def test_the_examination_comes_on_demand(page: Page) -> None:
    opened(page, "/health")
    page.get_by_role("link", name="Examine every layer").click()
    expect(page.locator("#examined")).to_contain_text("journal")


def test_a_hostile_text_is_a_text(page: Page) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for path in ("/search", "/pattern?id=hostile%2F%3Cb%3E%26%3F%23"):
        opened(page, path)
        expect(page.locator("main")).to_contain_text("<script>alert(1)</script>")
    assert dialogs == [] and page.locator("main img").count() == 0


def test_nothing_is_asked_of_any_other_host(page: Page) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    for path in PAGES[:-1]:
        opened(page, path)
    assert asked and all(url.startswith((base(page), "data:")) for url in asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(
    chromium: Browser, page: Page, scheme: Any, width: int
) -> None:
    state = page.context.storage_state()
    context = chromium.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, storage_state=state
    )
    other, found = context.new_page(), dict[str, Any]()
    other.goto(page.url)
    for path in PAGES:
        opened(other, path)
        wide = other.evaluate("document.documentElement.scrollWidth")
        found |= {path: problems} if (problems := serious(other)) else {}
        found |= {f"{path} is {wide} wide": True} if wide > width else {}
    context.close()
    assert found == {}, json.dumps(found, indent=1)


def test_axe_finds_what_is_not_right(page: Page) -> None:
    """The control of the test above."""
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert [problem.split(":")[0] for problem in serious(page)] == ["button-name"]


def test_every_page_can_be_reached_by_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
