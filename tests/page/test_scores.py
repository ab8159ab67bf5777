"""The page and the report with hybrid scores: the weights, whose they are, their warning, and the job's engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proofrank.client import Client
from proofrank.core.graph import Dataset
from proofrank.service.cli.main import main
from proofrank.service.client import Job
from tests.helpers.browser import Browser
from tests.helpers.embeddings import write_distmult
from tests.helpers.serving import RunningServer

pytestmark = [pytest.mark.filterwarnings("ignore")]

WARNING = "were fitted to a beam of 8 (max), and score greedy proofs"
HYBRID = {
    "format": "proofrank-hybrid-1",
    "weight": 0.1 + 0.2,
    "bonus": 2.0,
    "penalty": 5.0,
    "by_relation": {"ancestor": {"weight": 0.75, "bonus": None, "penalty": 7.0}},
    "fitted": {"beam": {"width": 8, "score": "max"}},
}
SHOWN_WEIGHTS = "weight 0.3, bonus 2, penalty 5"
SHOWN_STORED = f"{SHOWN_WEIGHTS}; 1 relation with weights of their own; fitted to a beam of 8 (max)"


@pytest.fixture(scope="module")
def server(
    family_folder: Path, family: Dataset, policy_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    embedding = write_distmult(tmp_path_factory.mktemp("embeddings") / "distmult", family)
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]
    with RunningServer(*arguments, "--embedding", str(embedding)) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def jobs(
    server: RunningServer, policy_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Job, Job]:
    """One by the weights of a policy, which were fitted to a beam, and one by weights that are given."""
    folder = Path(shutil.copytree(policy_folder, tmp_path_factory.mktemp("policies") / "weighted"))
    (folder / "hybrid.json").write_text(json.dumps(HYBRID))
    options: dict[str, Any] = {"corruptions": "all", "scoring": "hybrid", "progress": False}
    with Client(server.url) as client:
        policy = client.upload_policy("weighted", folder)
        stored = client.evaluate("train", policy=policy, **options).job
        given = client.evaluate("train", policy=policy, hybrid={"weight": 2.0}, **options).job
    return stored, given


def shows_stored_weights(browser: Browser, address: str, jobs: tuple[Job, Job]) -> None:
    """Checks the views of both jobs."""
    stored, given = jobs
    browser.open(f"{address}#/step/{stored.id}")
    browser.until_text(WARNING)
    for text in (SHOWN_WEIGHTS, "stored with the policy", "distmult"):
        assert text in browser.text
    facts = {one.text for one in browser.find_all("dl > div")}
    assert "Engine\noriginal" in facts
    browser.find("details summary").click()
    browser.until_text("log-probability of the proof")
    cells = [cell.text for cell in browser.find_all("details tbody tr > *")]
    assert cells == ["ancestor", "0.75", "log-probability of the proof", "7"]
    browser.open(f"{address}#/step/{given.id}")
    browser.until_text("given with the job")
    assert "weight 2, bonus log-probability of the proof, penalty 100" in browser.text
    assert "Warning" not in browser.text
    browser.open(f"{address}#/compare/{stored.id}/{given.id}")
    browser.until_text(f"Warning for A: the weights of hybrid scores {WARNING}")
    assert "Warning for B" not in browser.text


@pytest.mark.integration
def test_the_page_shows_the_weights_their_warning_and_the_engine(
    server: RunningServer, jobs: tuple[Job, Job], browser: Browser
) -> None:
    browser.open(server.url)
    browser.until_text("Stored policies")
    rows = {
        row.text.split()[0]: row.text for row in browser.find_all("[aria-label='Stored policies'] tbody tr")
    }
    assert SHOWN_STORED in rows["weighted"]
    assert all("weight" not in text for name, text in rows.items() if name != "weighted")
    listed = browser.find("[aria-label='The latest jobs that have ended'] tbody tr")
    assert "original" in [cell.text for cell in listed.find_elements("css selector", "td")]
    shows_stored_weights(browser, f"{server.url}/", jobs)
    assert browser.barriers() == []
    assert browser.complaints() == []


@pytest.mark.integration
def test_a_report_shows_the_same(
    server: RunningServer, jobs: tuple[Job, Job], browser: Browser, tmp_path: Path
) -> None:
    assert main(["report", *(job.id for job in jobs), "--out", str(tmp_path), "--url", server.url]) == 0
    address = (tmp_path / "index.html").as_uri()
    browser.open(address)
    browser.until_text(SHOWN_STORED)
    assert len(browser.find_all("[aria-label='Stored policies'] tbody tr")) == 1
    shows_stored_weights(browser, address, jobs)
    assert browser.complaints() == []


def test_the_command_warns_and_the_report_has_the_policies_of_its_jobs_alone(
    server: RunningServer, jobs: tuple[Job, Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, given = jobs
    assert main(["report", stored.id, given.id, "--out", str(tmp_path), "--url", server.url]) == 0
    said = capsys.readouterr().err
    assert f"warning: job {stored.id}: the weights of hybrid scores {WARNING}" in said
    assert f"job {given.id}" not in said
    text = (tmp_path / "data.js").read_text(encoding="utf-8")
    data = json.loads(text.removeprefix("window.PROOFRANK_REPORT = ").rstrip(";\n"))
    listed = server.client.get("/policies").json()["policies"]
    assert len(listed) == 2
    assert data["answers"]["policies"]["policies"] == [one for one in listed if one["name"] == "weighted"]


def test_the_listing_of_jobs_names_the_engine(
    server: RunningServer, jobs: tuple[Job, Job], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["jobs", "--url", server.url]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    header = next(line for line in lines if "engine" in line)
    shown = next(line for line in lines if jobs[1].id in line)
    assert shown[header.index("scores") : header.index("MRR")] == ["hybrid", "original"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("scoring", "said"), [("hybrid", ", by hybrid scores."), ("embedding", "by which nothing is proved.")]
)
def test_a_triple_is_asked_for_by_the_scores_that_are_chosen(
    scoring: str, said: str, server: RunningServer, browser: Browser
) -> None:
    triple = {"head": "eva", "relation": "ancestor", "tail": "00260881"}
    browser.open(
        f"{server.url}/#/ask?head={triple['head']}&relation=ancestor&tail={triple['tail']}&what=rank"
    )
    browser.find("dd.large")
    browser.find(f"select[name=scoring] option[value={scoring}]").click()
    browser.find_button("Rank").click()
    browser.until_text(said)
    why = server.client.post("/why", json={**triple, "corruptions": "all", "scoring": scoring}).json()
    ranking = why["ranking"]
    assert browser.find("dd.large").text == f"{ranking['rank']:g} of {ranking['num_candidates']}"
    assert f"{ranking['score']:.4f}" in browser.text
    browser.find_button("Prove only").click()
    browser.until(lambda: not browser.find_all("dd.large"), "a proof without a rank")
    assert said not in browser.text
    assert browser.complaints() == []
