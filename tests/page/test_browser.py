"""The page in a real browser without a network."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import proofrank
from proofrank.client import Client
from proofrank.core.default import DATASET, POLICY
from proofrank.service.cli.main import main
from tests.helpers.browser import Browser
from tests.helpers.embeddings import write_distmult
from tests.helpers.keys import RANKER
from tests.helpers.serving import RunningServer
from tests.page.conftest import RUN, Trained

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

ATTEMPTS = 4
"""Number of times that a view may be opened until it takes less than a second."""


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

    browser.click_link("Runs")
    browser.click_link(f"{RUN} step 2")
    browser.click("a#compare")
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

    browser.click_link("Runs")
    browser.click_link(f"{RUN} step 2")
    browser.click("a#compare")
    browser.click("tbody a")
    browser.until(lambda: len(browser.find_all(".candidate[data-standing=positive]")) == 2, "two proofs")
    assert browser.complaints() == []
    assert browser.hosts() == {"file"}


def test_a_triple_is_asked_for_with_names_completed(trained: Trained, browser: Browser) -> None:
    browser.open(f"{trained.server.url}/#/ask")
    for field, typed in (("relation", "anc"), ("head", "ev"), ("tail", "002")):
        browser.find(f"input[name={field}]").send_keys(typed)
        option = f"#{field}-names option"
        browser.until(lambda option=option: len(browser.find_all(option)) == 1, "one completed name")
        name = browser.find(option).get_attribute("value")
        browser.find(f"input[name={field}]").send_keys(name[len(typed) :])
    browser.find_button("Rank").click()
    browser.find(".candidate[data-standing=positive]")
    body = {"head": "eva", "relation": "ancestor", "tail": "00260881", "corruptions": "all"}
    why = trained.server.client.post("/why", json=body).json()
    assert browser.find("dd.large").text.startswith(
        f"{why['ranking']['rank']:g} of {why['ranking']['num_candidates']}"
    )
    assert why["positive"]["proof"].splitlines()[-1] in browser.text

    browser.find_button("Prove only").click()
    browser.until(lambda: not browser.find_all("dd.large"), "a proof without a rank")
    browser.find(".candidate[data-standing=positive]")
    assert browser.complaints() == []


def test_the_uses_of_rules_are_counted_on_demand(trained: Trained, browser: Browser) -> None:
    browser.open(f"{trained.server.url}/#/graph")
    browser.find_button("Count the uses of rules").click()
    browser.until_text("proofs read")
    browser.until_text("Proofs with it")
    usage = trained.server.client.get(f"/jobs/{trained.jobs[-1].id}/rules").json()
    shown = {row.text.split()[0]: row.text for row in browser.find_all("[aria-label=Rules] tbody tr")}
    for rule in usage["rules"]:
        assert shown[rule["name"]].endswith(f" {rule['proofs']} {rule['uses']}")


def test_a_query_of_a_job_by_beams_has_all_proofs_of_the_beam(browser: Browser) -> None:
    dataset = proofrank.load_dataset(DATASET)
    policy = proofrank.load_policy(POLICY, dataset)
    proved = (
        names
        for names in map(dataset.names, dataset.splits["test"])
        if len(proofrank.explain(dataset, policy, names, beam=4).proofs) > 1
    )
    triple = next(proved)
    proofs = proofrank.explain(dataset, policy, triple, beam=4).proofs
    with RunningServer("--engine", "original") as server, Client(server.wait_until_ready().url) as client:
        job = client.evaluate([triple], side="tail", corruptions="all", beam=4, progress=False).job
        head, relation, tail = triple
        query = {"head": head, "relation": relation, "tail": tail, "side": "tail"}
        browser.open(f"{server.url}/#/query/{job.id}?{urlencode(query)}")
        browser.until_text("The job ranked by beams of up to 4 trajectories.")
        browser.until_text(f"{len(proofs)} proofs in the beam")
        browser.click(".candidate[data-standing=positive] details summary")
        browser.until(lambda: proofs[1].splitlines()[-1] in browser.text, "the second proof")
    assert browser.complaints() == []


@pytest.mark.parametrize("scoring", ["hybrid", "embedding"])
def test_a_query_of_a_job_by_other_scores_has_their_parts(
    scoring: Any, browser: Browser, tmp_path: Path
) -> None:
    dataset = proofrank.load_dataset(DATASET)
    embedding = write_distmult(tmp_path / "distmult", dataset)
    triple = dataset.names(dataset.splits["test"][0])
    with (
        RunningServer("--engine", "original", "--embedding", str(embedding)) as server,
        Client(server.wait_until_ready().url) as client,
    ):
        ranked: dict[str, Any] = {"side": "head", "corruptions": "all"}
        hybrid = {"weight": 0.5, "penalty": 1.0} if scoring == "hybrid" else None
        job = client.evaluate([triple], scoring=scoring, hybrid=hybrid, progress=False, **ranked).job
        why = client.why(triple, job=job, **ranked)
        assert why.ahead
        head, relation, tail = triple
        query = urlencode({"head": head, "relation": relation, "tail": tail, "side": "head"})
        browser.open(f"{server.url}/#/query/{job.id}?{query}")
        browser.until_text("The job ranked by")
        live = browser.text
        folder = tmp_path / "report"
        assert main(["report", job.id, "--out", str(folder), "--url", server.url]) == 0
    browser.open(f"{(folder / 'index.html').as_uri()}#/query/{job.id}?{query}")
    browser.until_text("The job ranked by")
    for text in (live, browser.text):
        assert f"Score {why.positive.score:.4f}" in text
        assert f"{why.ranking.rank:g} of {why.ranking.num_candidates}" in text
        if scoring == "embedding":
            assert "by which nothing is proved" in text
            assert f"Score {why.ahead[0].score:.4f} by the embedding" in text
            continue
        for one in (why.positive, why.ahead[0]):
            assert one.embedding_part is not None and one.proof_part is not None
            assert f"{one.embedding_part:+.4f} by the embedding, {one.proof_part:+.4f} by its " in text
        assert f"To the triple: {why.ahead[0].score - why.positive.score:+.4f}, of which" in text
    assert browser.complaints() == []


def test_a_job_by_beams_says_so(trained: Trained, browser: Browser) -> None:
    with Client(trained.server.url) as client:
        last = trained.jobs[-1]
        job = client.evaluate("train", policy=last.policy, corruptions="all", beam=2, progress=False).job
        try:
            browser.open(f"{trained.server.url}/#/step/{job.id}")
            browser.until_text("train, both sides, all corruptions, beam of 2 (max)")
            browser.until_text("No other job has ranked the same queries in the same way.")
            browser.click("[aria-label=Rankings] tbody a")
            browser.until_text("The job ranked by beams of up to 2 trajectories.")
            # The page has asked for the reasons by then, which end with the job.
            browser.until_text("Score higher")
        finally:
            client.delete_job(job.id)
    assert browser.complaints() == []


def test_a_running_job_is_watched_and_cancelled(trained: Trained, browser: Browser) -> None:
    with Client(trained.server.url) as client:
        # So many candidates that it is still running when it is cancelled.
        queries = [("eva", "ancestor", "00260881")] * 2000
        job = client.submit(queries, corruptions="all")
        try:
            browser.open(trained.server.url)
            browser.find("progress")
            browser.until(lambda: int(browser.find("progress").get_attribute("value")) > 0, "progress")
            browser.find_button("Cancel").click()
            browser.find_button("Cancel this job for good").click()
            browser.until_text("No job runs or waits.")
            assert client.job(job.id).state == "cancelled"
        finally:
            client.delete_job(job.id)
    assert browser.complaints() == []


def test_a_server_with_keys_asks_for_one_and_keeps_it_for_the_tab(
    family_folder: Path, policy_folder: Path, browser: Browser, tmp_path: Path
) -> None:
    config = tmp_path / "proofrank.toml"
    config.write_text(RANKER.settings_lines)
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]
    with RunningServer(*arguments, "--config", str(config)) as running:
        browser.open(running.wait_until_ready().url)
        browser.until_text("needs a key")
        browser.find("input[name=key]").send_keys(RANKER.key)
        browser.find_button("Use this key").click()
        browser.until_text("Candidates per second")
        browser.driver.refresh()
        browser.until_text("Candidates per second")
        assert browser.run("return [localStorage.length, document.cookie]") == [0, ""]


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
    views = {
        "#/runs": ".plot canvas",
        f"#/step/{b}": "[aria-label=Rankings] tbody a",
        f"#/compare/{a}/{b}": ".plot canvas",
    }
    for address, selector in views.items():
        seconds = []
        # Another program may have the processor meanwhile.
        while len(seconds) < ATTEMPTS and min(seconds, default=1.0) >= 1.0:
            browser.open(f"{large.server.url}/#/nothing")
            browser.driver.refresh()
            browser.until_text("No such view")
            seconds.append(seconds_to(browser, address, selector))
        assert min(seconds) < 1.0, (address, seconds)
    assert browser.complaints() == []
