"""The page in a real browser without a network."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from proofrank.service.cli.main import main
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


def test_a_report_opens_from_disk_with_the_numbers_of_the_api(
    trained: Trained, browser: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    jobs = [job.id for job in trained.jobs]
    assert main(["report", *jobs, "--out", str(folder), "--url", trained.server.url]) == 0
    browser.open((folder / "index.html").as_uri())
    browser.until_text("A report, written")

    def told(script: str, *arguments: Any) -> Any:
        return browser.run(f"return {script}", *arguments)

    http = trained.server.client
    for job in jobs:
        everything = http.get(f"/jobs/{job}/results").json()["rankings"]
        found = told("proofrank.data.rankings(arguments[0], {limit: 1000})", job)
        assert found == {"total": len(everything), "rankings": everything}
        query = {"order": "worst", "relation": "ancestor", "side": "tail", "offset": 1, "limit": 2}
        expected = http.get(f"/jobs/{job}/rankings", params=query).json()
        assert told("proofrank.data.rankings(arguments[0], arguments[1])", job, query) == expected
    for a, b in itertools.combinations(jobs, 2):
        expected = http.get("/compare", params={"a": a, "b": b}).json()
        assert told("proofrank.data.compare(arguments[0], arguments[1])", a, b) == expected

    browser.find_link("Runs").click()
    browser.find_link(f"{RUN} step 2").click()
    browser.find("a#compare").click()
    browser.find("tbody a").click()
    browser.until(lambda: len(browser.find_all(".candidate[data-standing=positive]")) == 2, "two proofs")
    assert browser.complaints() == []
    assert browser.hosts() == {"file"}


def seconds_to(browser: Browser, address: str, selector: str) -> float:
    """Seconds from the change of the address to the first element of the selector, as the page itself measures."""
    return browser.driver.execute_async_script(
        """
        const [address, selector, done] = arguments;
        const begin = performance.now();
        const look = () => document.querySelector(selector) ? done((performance.now() - begin) / 1000)
          : requestAnimationFrame(look);
        location.hash = address;
        setTimeout(look);
        """,
        address,
        selector,
    )


def test_views_of_11000_rankings_open_in_a_second(large: Trained, browser: Browser) -> None:
    a, b = (job.id for job in large.jobs)
    browser.driver.set_script_timeout(60)
    browser.open(large.server.url)
    browser.until_text("Candidates per second")
    seconds = {
        address: seconds_to(browser, address, selector)
        for address, selector in (
            ("#/runs", ".plot canvas"),
            (f"#/step/{b}", "[aria-label=Rankings] tbody a"),
            (f"#/compare/{a}/{b}", ".plot canvas"),
        )
    }
    print(seconds)
    assert max(seconds.values()) < 1.0, seconds
    assert browser.complaints() == []
