"""``proofrank rank --mrr-tolerance``, and the listings of jobs and runs with intervals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofrank.service.cli.listings import mrr_text, share_text
from proofrank.service.cli.main import main
from proofrank.service.client import Client, Interval
from tests.helpers.serving import RunningServer

TRIPLE = ["anna", "ancestor", "Zoë"]


def run_rank(server: RunningServer, *arguments: str) -> int:
    return main(["rank", "--url", server.url, "--patience", "1", *arguments])


def test_a_table_shows_where_the_ranks_of_a_triple_lie(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "answer.json"
    options = ["--corruptions", "all", "--mrr-tolerance", "0.2", "--json", str(path)]
    assert run_rank(server, *TRIPLE, *options) == 0
    told = capsys.readouterr()
    answer = json.loads(path.read_text())
    rows = {line.split()[0]: line.split() for line in told.out.splitlines() if line.strip()}
    for ranking in answer["queries"][0]["rankings"]:
        low, high = ranking["rank_low"], ranking["rank_high"]
        assert rows[ranking["side"]][1] == (f"{low:g}" if low == high else f"{low:g}-{high:g}")
        assert int(rows[ranking["side"]][3]) == ranking["open"]
    assert f"{answer['pruning']['open']} are open" in told.err


def test_a_split_has_a_table_of_intervals_and_listings_show_the_middle(
    server: RunningServer, policy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(server.url) as client:
        client.upload_policy("listed", policy_folder, run="listed", step=1)
    path = tmp_path / "results.json"
    options = ["--policy", "listed", "--corruptions", "all", "--mrr-tolerance", "0.1", "--json", str(path)]

    assert run_rank(server, "--split", "train", *options) == 0

    told = capsys.readouterr()
    job = json.loads(path.read_text())["job"]
    assert "MRR to 0.1 up and down" in " ".join(told.out.split())
    assert f"{job['intervals']['open']} are open" in told.err
    low, high = job["intervals"]["intervals"]["mrr"]
    shown = f"{low:.4f}" if low == high else f"{(low + high) / 2:.4f} ±"
    for command in (["jobs", "--run", "listed"], ["runs", "listed"]):
        assert main([*command, "--url", server.url]) == 0
        assert shown in capsys.readouterr().out


def test_a_proof_is_refused(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_rank(server, *TRIPLE, "--proof", "--mrr-tolerance", "0.1") == 2
    assert "a proof comes with exact ranks" in capsys.readouterr().err


def test_the_middle_is_marked_with_how_far_it_is_off_at_most(server: RunningServer) -> None:
    with Client(server.url) as client:
        job = client.evaluate("train", corruptions="all", mrr_tolerance=0.1, progress=False).job
    assert job.intervals is not None
    job.intervals.intervals["mrr"] = Interval(0.86871, 0.87063)
    job.intervals.intervals["hits@10"] = Interval(0.5, 0.5)
    assert mrr_text(None, job.intervals) == "0.8697 ±0.0011"
    assert share_text("hits@10", None, job.intervals) == "0.500"
    assert mrr_text(None, None) == ""
