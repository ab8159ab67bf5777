"""The page with jobs to a tolerance: the middle of the MRR, marked, its ends, and nothing that needs exact ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proofrank.client import Client, IntervalJobResult
from proofrank.core.policy import Policy
from proofrank.service.cli.listings import mrr_text
from proofrank.service.cli.main import main
from tests.helpers.browser import Browser
from tests.helpers.serving import RunningServer

pytestmark = [pytest.mark.filterwarnings("ignore")]

RUN = "to-tolerance"


@pytest.fixture(scope="module")
def server(family_folder: Path, policy_folder: Path) -> Iterator[RunningServer]:
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]
    with RunningServer(*arguments) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def results(server: RunningServer, step_policy: Callable[[int], Policy]) -> list[IntervalJobResult]:
    """Those of two steps."""
    with Client(server.url) as client:
        return [
            client.evaluate(
                "train",
                policy=client.push(RUN, step_policy(step), step=step),
                corruptions="all",
                mrr_tolerance=0.2,
                progress=False,
            )
            for step in range(2)
        ]


@pytest.mark.integration
def test_the_page_shows_the_middle_and_the_ends(
    server: RunningServer, results: list[IntervalJobResult], browser: Browser
) -> None:
    last = results[-1].job
    low, high = results[-1].intervals.mrr_ends
    shown = mrr_text(None, last.intervals).replace("±", "± ")
    browser.open(server.url)
    browser.until_text(shown)
    browser.click_link("Runs")
    browser.until_text("MRR to ± 0.2")
    browser.until_text(shown)
    browser.click_link(f"{RUN} step 1")
    browser.until_text("Each exact value lies in its interval for certain.")
    expected = f"{low:.4f}" if low == high else f"{low:.4f} to {high:.4f}"
    assert expected in browser.text
    assert "No query is ranked yet" not in browser.text
    assert "Compare with" not in browser.text
    assert browser.complaints() == []


def test_data_of_rankings_is_empty_and_a_report_says_that_it_needs_exact_ranks(
    server: RunningServer,
    results: list[IntervalJobResult],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job_id = results[-1].job.id
    assert server.client.get(f"/jobs/{job_id}/groups").json() == {"by_depth": {}, "by_steps": {}}
    assert server.client.get(f"/jobs/{job_id}/rankings").json() == {"total": 0, "rankings": []}
    assert main(["report", job_id, "--out", str(tmp_path / "report"), "--url", server.url]) != 0
    assert "a report is made of exact ranks" in " ".join(capsys.readouterr().err.split())
