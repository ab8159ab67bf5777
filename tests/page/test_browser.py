"""The page in a real browser without a network."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.browser import Browser
from tests.page.conftest import RUN, Trained

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


def compared(trained: Trained) -> dict[str, Any]:
    """The comparison of the last two steps, from the API."""
    a, b = trained.jobs[-2:]
    return trained.server.client.get("/compare", params={"a": a.id, "b": b.id}).json()


def test_four_clicks_lead_from_a_push_to_the_query_that_got_worse(trained: Trained, browser: Browser) -> None:
    comparison = compared(trained)
    worst = comparison["changed"][0]
    assert worst["rank_b"] > worst["rank_a"], "the run of this test has a query that gets worse"
    browser.open(trained.server.url)
    browser.until_text("Candidates per second")

    browser.find_link("Runs").click()
    browser.find_link(f"{RUN} step 2").click()
    browser.find("a#compare").click()
    browser.until_text("Changed rankings")
    assert f"{comparison['overall']['metrics']['mrr']['b']:.4f} in B" in browser.text
    triple = f"{worst['relation']}({worst['head']}, {worst['tail']})"
    link = browser.find("tbody a")
    assert link.text == triple
    link.click()

    browser.until(lambda: len(browser.find_all(".candidate[data-standing=positive]")) == 2, "two proofs")
    assert browser.find("h1").text == triple
    shown = [element.text for element in browser.find_all("dd.large")]
    assert [float(text.split()[0]) for text in shown] == [worst["rank_a"], worst["rank_b"]]
    assert browser.complaints() == []
    assert browser.hosts() == {trained.server.url.removeprefix("http://")}
