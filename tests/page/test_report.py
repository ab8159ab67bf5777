"""``proofrank report``: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proofrank.client import Client
from proofrank.service.cli.main import main
from proofrank.service.page.assets import all_assets
from tests.page.conftest import RUN, Trained

MOST_BYTES = 5_000_000


def written(trained: Trained, folder: Path, *options: str) -> dict[str, Any]:
    """Has the command write a report about all jobs, and returns the data in it."""
    jobs = [job.id for job in trained.jobs]
    assert main(["report", *jobs, "--out", str(folder), "--url", trained.server.url, *options]) == 0
    text = (folder / "data.js").read_text(encoding="utf-8")
    assert text.startswith("window.PROOFRANK_REPORT = ")
    return json.loads(text.removeprefix("window.PROOFRANK_REPORT = ").rstrip(";\n"))


def test_a_report_holds_the_page_and_the_answers_of_the_server(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(trained, tmp_path / "report")
    said = " ".join(capsys.readouterr().err.split())
    assert "54 rankings, 3 comparisons, proofs of" in said
    assert "no proofs" not in said
    http = trained.server.client
    last = trained.jobs[-1].id
    for path in (
        f"jobs/{last}",
        f"jobs/{last}/groups",
        f"runs/{RUN}?intervals=true",
        "jobs?limit=100&state=done",
    ):
        assert data["answers"][path] == http.get(f"/{path}").json(), path
    a, b = trained.jobs[0].id, trained.jobs[1].id
    expected = http.get("/compare", params={"a": a, "b": b}).json()
    depths = [change["depth"] for change in expected["changed"]]
    assert data["comparisons"][f"{a} {b}"] == {**expected, "changed": None, "depths": depths}
    page = (tmp_path / "report" / "index.html").read_text()
    assert '<script defer src="data.js"></script>' in page
    assert page.index("data.js") < page.index("report.js")
    for name, path in all_assets().items():
        assert (tmp_path / "report" / "page" / name).read_bytes() == path.read_bytes()


def test_a_report_replaces_an_older_one_and_nothing_else(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "report"
    written(trained, folder, "--queries", "0")
    assert written(trained, folder, "--queries", "1")["reasons"]
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").write_text("years of work")
    job = trained.jobs[0].id
    assert main(["report", job, "--out", str(other), "--url", trained.server.url]) == 2
    assert "holds something else; expected a new folder or that of a report" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["chapter.tex"]


def test_a_job_that_is_not_there_or_not_done_is_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = trained.server.url
    assert main(["report", "0" * 32, "--out", str(tmp_path / "report"), "--url", url]) == 2
    assert "there is no job" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_policies_that_are_gone_are_counted(
    trained: Trained, policy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(trained.server.url) as client:
        name = f"{RUN}-gone"
        policy = client.upload_policy(name, policy_folder)
        job = client.evaluate("valid", policy=policy, corruptions="all", progress=False).job
        client.delete_policy(name)
        assert main(["report", job.id, "--out", str(tmp_path / "report"), "--url", trained.server.url]) == 0
        client.delete_job(job.id)
    said = " ".join(capsys.readouterr().err.split())
    assert "proofs of 0 rankings" in said
    assert "2 rankings have no proofs: the server no longer has the policies" in said


def test_two_jobs_of_11000_rankings_fit_into_a_small_folder(large: Trained, tmp_path: Path) -> None:
    written(large, tmp_path / "report", "--queries", "0")
    size = sum(path.stat().st_size for path in (tmp_path / "report").rglob("*") if path.is_file())
    assert size < MOST_BYTES
