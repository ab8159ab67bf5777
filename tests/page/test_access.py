"""The page for people who use a keyboard or a screen reader, and in both themes."""

from __future__ import annotations

import pytest

from proofrank.service.page.assets import all_assets
from tests.helpers.browser import Browser
from tests.page.conftest import Trained

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


def views(trained: Trained) -> dict[str, tuple[str, str]]:
    """The address of each view, and an element that is there when all of it is."""
    a, b = (job.id for job in trained.jobs[-2:])
    worst = trained.server.client.get("/compare", params={"a": a, "b": b}).json()["changed"][0]
    query = "&".join(f"{name}={worst[name]}" for name in ("head", "relation", "tail", "side"))
    return {
        "overview": ("#/", "table tbody a"),
        "runs": ("#/runs", ".plot canvas"),
        "step": (f"#/step/{b}", "[aria-label=Rankings] tbody a"),
        "compare": (f"#/compare/{a}/{b}", ".plot canvas"),
        "query": (f"#/query/{a}/{b}?{query}", "section + section .candidate[data-standing=positive]"),
        "ask": (f"#/ask?{query}&what=rank", ".candidate[data-standing=positive]"),
        "graph": ("#/graph", "[aria-label=Rules] tbody code"),
        "nothing": ("#/nothing", "h1"),
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_view(trained: Trained, browser: Browser, theme: str) -> None:
    browser.choose_theme(theme)
    for name, (address, selector) in views(trained).items():
        browser.open(f"{trained.server.url}/{address}")
        browser.find(selector)
        for details in browser.find_all("summary"):
            details.click()
        assert browser.barriers() == [], name
    browser.find_button("Key").click()
    browser.find("input[name=key]")
    assert browser.barriers() == []


def test_every_view_has_a_file_and_is_tried_here(trained: Trained) -> None:
    files = {
        name.removeprefix("views/").removesuffix(".js") for name in all_assets() if name.startswith("views/")
    }
    assert files == views(trained).keys() - {"nothing"}


def test_a_new_view_takes_the_focus_and_names_the_window(trained: Trained, browser: Browser) -> None:
    browser.open(trained.server.url)
    browser.click_link("Runs")
    browser.until(lambda: browser.driver.title == "Runs – proofrank", "the title")
    assert browser.run("return document.activeElement.tagName") == "MAIN"


def test_a_table_is_sorted_and_a_link_followed_by_the_keyboard(trained: Trained, browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys  # pyright: ignore[reportMissingImports]

    browser.open(f"{trained.server.url}/#/runs")
    heading = browser.find("th:nth-child(3) button")
    heading.send_keys(Keys.ENTER)
    browser.until(
        lambda: browser.find("th:nth-child(3)").get_attribute("aria-sort") == "descending", "the order"
    )
    shown = [float(cell.text) for cell in browser.find_all("tbody td:nth-child(3)")]
    assert shown == sorted(shown, reverse=True)
    browser.find("th:nth-child(3) button").send_keys(Keys.ENTER)
    browser.until(
        lambda: browser.find("th:nth-child(3)").get_attribute("aria-sort") == "ascending", "the order"
    )
    assert [float(cell.text) for cell in browser.find_all("tbody td:nth-child(3)")] == shown[::-1]
    browser.find("tbody a").send_keys(Keys.ENTER)
    browser.until_text("By relation")


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(trained: Trained, browser: Browser) -> None:
    from selenium.webdriver.common.action_chains import ActionChains  # pyright: ignore[reportMissingImports]
    from selenium.webdriver.common.keys import Keys  # pyright: ignore[reportMissingImports]

    browser.open(f"{trained.server.url}/#/runs")
    browser.find(".plot canvas")
    reached = []
    for _ in range(12):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        reached.append(browser.run("return document.activeElement.textContent.trim().slice(0, 20)"))
    assert reached[:4] == ["Skip to the content", "Overview", "Runs", "Compare"]
    assert "Key" in reached


def test_colours_follow_the_theme(trained: Trained, browser: Browser) -> None:
    colours = set()
    for theme in ("light", "dark"):
        browser.choose_theme(theme)
        browser.open(f"{trained.server.url}/#/runs")
        browser.find(".plot canvas")
        colours.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert colours == {"rgb(255, 255, 255)", "rgb(21, 25, 30)"}
