"""``proofrank rank`` has a running server rank a triple, a file or a split, and prints what it answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from proofrank.service.cli.main import main, make_parser
from proofrank.service.client import DEFAULT_URL
from proofrank.service.settings.settings import load_settings
from tests.helpers.scripted import Answer, ScriptedServer, problem
from tests.helpers.serving import REPOSITORY, RunningServer, clean_environment, run_without

TRIPLE = ["anna", "ancestor", "Zoë"]
METRICS = {
    "mrr": 0.5, "hits@1": 0.25, "hits@3": 0.75, "hits@10": 1.0, "mean_rank": 2.5,
    "adjusted_mean_rank_index": 0.7, "positives_proved": 1.0, "corruptions_proved": 0.125, "rankings": 4,
    "queries": 2, "candidates": 20, "seconds": 1.5,
}  # fmt: skip
JOB = {
    "id": "j1", "state": "done", "created": "2026-01-31T12:00:00Z", "started": "2026-01-31T12:00:00Z",
    "finished": "2026-01-31T12:00:02Z", "policy": {"name": "untrained", "sha256": "0" * 64},
    "dataset": {"name": "family", "sha256": "0" * 64}, "request": {},
    "progress": {"queries": 2, "queries_done": 2, "candidates": 20, "candidates_done": 20},
    "metrics": {**METRICS, "by_side": {"head": METRICS}, "by_relation": {"ancestor": METRICS}}, "error": None,
}  # fmt: skip
RESULTS = Answer(200, {"job": JOB, "rankings": []})


def run_rank(url: str, *arguments: str) -> int:
    """The exit status of ``proofrank rank`` against the server at ``url``."""
    return main(["rank", "--url", url, "--patience", "1", *arguments])


def test_a_table_shows_the_rank_on_each_side(
    server: RunningServer, client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_rank(server.url, *TRIPLE, "--corruptions", "all", "--seed", "3") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("ancestor(anna, Zoë): dataset family, policy untrained (")
    rows = [line.split() for line in printed.splitlines() if line.strip()]
    body = {"queries": [dict(zip(("head", "relation", "tail"), TRIPLE, strict=True))], "corruptions": "all"}
    for ranking in client.post("/rank", json=body).json()["queries"][0]["rankings"]:
        (row,) = (row for row in rows if row[0] == ranking["side"])
        assert [float(row[1]), int(row[2])] == [ranking["rank"], ranking["num_candidates"]]
        assert float(row[3]) == pytest.approx(ranking["score"], abs=1e-4)


def test_the_proof_is_printed_once_as_a_tree(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_rank(server.url, *TRIPLE, "--proof") == 0
    printed = capsys.readouterr().out
    assert printed.count("ancestor(anna, Zoë)  [rule further]") == 1
    assert "├─ parent(anna, eva)  [fact]" in printed


def test_the_answer_is_written_as_the_server_gave_it(server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    assert run_rank(server.url, *TRIPLE, "--side", "tail", "--unfiltered", "--json", str(path)) == 0
    answer = json.loads(path.read_text(encoding="utf-8"))
    assert answer["queries"][0]["tail"] == "Zoë"
    assert [ranking["side"] for ranking in answer["queries"][0]["rankings"]] == ["tail"]
    assert answer["metrics"]["hits@10"] == 1.0


@pytest.mark.parametrize("what", [TRIPLE, ("--split", "test")])
def test_every_level_of_pruning_gives_the_same_metrics_and_says_what_was_left_out(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: tuple[str, ...]
) -> None:
    found: dict[str, Any] = {}
    told: dict[str, str] = {}
    for level in ("none", "exact", "ranks"):
        path = tmp_path / f"{level}.json"
        options = ["--corruptions", "all", "--pruning", level, "--json", str(path)]
        assert run_rank(server.url, *what, *options) == 0
        answer = json.loads(path.read_text(encoding="utf-8"))
        found[level], told[level] = answer.get("job", answer), capsys.readouterr().err

    assert {level: answer["pruning"]["level"] for level, answer in found.items()} == {
        level: level for level in found
    }
    assert len({answer["metrics"]["mrr"] for answer in found.values()}) == 1
    corruptions_proved = [answer["metrics"]["corruptions_proved"] for answer in found.values()]
    assert corruptions_proved[0] == corruptions_proved[1] is not None
    assert corruptions_proved[2] is None
    assert "pruning:" not in told["none"]
    counts = found["exact"]["pruning"]
    assert counts["unprovable"] > 0
    assert (
        f"pruning: {counts['evaluated']} of {found['exact']['metrics']['candidates']} candidates"
        in told["exact"]
    )


def test_a_split_is_ranked_as_a_job(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    with ScriptedServer([Answer(202, {**JOB, "state": "queued"}), Answer(200, JOB), RESULTS]) as scripted:
        options = ["--corruptions", "all", "--queries", "2", "--policy", "untrained", "--json", str(path)]
        assert run_rank(scripted.url, "--split", "test", *options) == 0
        submission, *others = scripted.received
    assert json.loads(submission.body) == {
        "split": "test", "side": "both", "corruptions": "all", "filtered": True, "seed": 0, "ties": "realistic",
        "policy": "untrained", "limit": 2,
    }  # fmt: skip
    assert [request.path for request in others] == ["/jobs/j1", "/jobs/j1/results"]
    printed = capsys.readouterr().out
    assert printed.startswith("test: dataset family, policy untrained (000000000000), job j1")
    (row,) = (line.split() for line in printed.splitlines() if line.strip().startswith("ancestor"))
    assert row == ["ancestor", "0.5000", "0.250", "0.750", "1.000", "2.50", "0.700", "1.000", "0.125", "2"]
    assert json.loads(path.read_text(encoding="utf-8"))["job"]["metrics"]["hits@3"] == 0.75


def test_an_interrupted_command_cancels_its_job_and_has_shown_a_bar_until_then() -> None:
    running = Answer(200, {**JOB, "state": "running"})
    ours, theirs = os.openpty()
    with ScriptedServer([running]) as scripted:
        command = [
            sys.executable,
            "-m",
            "proofrank.service.cli.main",
            "rank",
            "--url",
            scripted.url,
            "--split",
            "test",
        ]
        environment = clean_environment({"TERM": "xterm", "COLUMNS": "100"})
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stderr=theirs,
            # A shell that runs the tests in the background has them ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        while b"2/2" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        status = process.wait(30)
        os.close(ours)
        asked = [(request.method, request.path) for request in scripted.received]
    assert status == 130
    assert b"queries" in shown
    assert asked[0] == ("POST", "/jobs")
    assert asked[-1] == ("POST", f"/jobs/{JOB['id']}/cancel")


def test_an_interrupted_command_whose_job_somebody_has_removed_ends_as_any_interrupted_one() -> None:
    missing = problem(404, "there is no job 'j1'; it may have been removed")
    answers = [
        Answer(202, {**JOB, "state": "queued"}),
        Answer(200, {**JOB, "state": "running"}, delay=20),
        missing,
    ]
    with ScriptedServer(answers) as scripted:
        command = [
            sys.executable,
            "-m",
            "proofrank.service.cli.main",
            "rank",
            "--url",
            scripted.url,
            "--split",
            "test",
        ]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=clean_environment(), stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        while len(scripted.received) < 2 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=15)
        asked = [(request.method, request.path) for request in scripted.received]
    assert (process.returncode, told) == (130, "")
    assert asked[-1] == ("POST", "/jobs/j1/cancel")


def test_the_triples_of_a_file_are_ranked_as_a_job(tmp_path: Path) -> None:
    path = tmp_path / "triples.tsv"
    path.write_text("anna\tancestor\tZoë\neva\tparent\tZoë\n", encoding="utf-8")
    with ScriptedServer([Answer(200, JOB), Answer(200, JOB), RESULTS]) as scripted:
        assert run_rank(scripted.url, "--file", str(path)) == 0
        body = json.loads(scripted.received[0].body)
    assert body["queries"] == [
        {"head": "anna", "relation": "ancestor", "tail": "Zoë"},
        {"head": "eva", "relation": "parent", "tail": "Zoë"},
    ]


def test_the_lines_of_a_file_that_are_dropped_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "triples.tsv"
    lines = ["head\trelation\ttail", *["anna\tancestor\tZoë"] * 3, "%41\tancestor\tZoë"]
    path.write_text("\n".join(lines), encoding="utf-8")
    with ScriptedServer([Answer(200, JOB), Answer(200, JOB), RESULTS]) as scripted:
        assert run_rank(scripted.url, "--file", str(path), "--policy", "untrained:3") == 0
        body = json.loads(scripted.received[0].body)
    told = capsys.readouterr().err
    assert [query["head"] for query in body["queries"]] == ["anna", "%41"]
    assert body["policy"] == "untrained-3"
    assert "triples.tsv: 2 duplicate triples dropped: ancestor(anna,Zoë), as in line 2 (line 3)" in told
    assert "triples.tsv: 1 header line left out" in told


def test_unknown_names_of_a_file_are_told_by_their_lines_and_their_number(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "triples.tsv"
    lines = [
        "% names",
        "anna\tancestor\tZoë",
        "ana\tancestor\tZoë",
        *(f"x{n}\tancestor\tZoë" for n in range(500)),
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert run_rank(server.url, "--file", str(path)) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(
        f"proofrank: {path}:3: 'ana': unknown constant of dataset 'family'; did you mean 'anna'"
    )
    assert told[2].startswith(f"{path}:5: 'x1': unknown constant")
    assert told[3] == (
        "501 names are unknown to dataset 'family', 501 different constants and 0 different relations"
    )
    assert len(told) == 4


def test_the_key_of_a_file_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("very-secret\n", encoding="ascii")
    with ScriptedServer([problem(403, "the key lacks the right 'rank'")]) as scripted:
        assert run_rank(scripted.url, *TRIPLE, "--api-key-file", str(path)) == 2
        assert scripted.received[0].headers["Authorization"] == "Bearer very-secret"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ana", "ancestor", "Zoë"], "queries[0].head is 'ana': unknown constant"),
        (["anna", "ancestor"], "expected HEAD RELATION TAIL, got 2 names: anna ancestor"),
        ([], "expected one of HEAD RELATION TAIL, --split and --file"),
        ([*TRIPLE, "--split", "test"], "expected one of HEAD RELATION TAIL, --split and --file"),
        (
            [*TRIPLE, "--policy", "x"],
            "--policy cannot be given here: a triple is ranked by the active policy",
        ),
        ([*TRIPLE, "--queries", "3"], "--queries cannot be given here: it is for --split"),
        (["--split", "test", "--proof"], "--proof cannot be given here: it is for a single triple"),
        (
            ["--split", "test", "--policy", "untrained:7"],
            "--policy untrained:7: policy is 'untrained-7': no policy is",
        ),
        (["--file", "/no/such/file"], "/no/such/file: cannot be read: No such file or directory"),
        ([*TRIPLE, "--api-key-file", "/no/such"], "--api-key-file /no/such: cannot be read: No such file"),
        ([*TRIPLE, "--json", "/proc/no/answer"], "--json /proc/no/answer: cannot be written: No such file"),
    ],
)
def test_what_cannot_be_done_ends_with_status_2_and_a_reason(
    server: RunningServer, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_rank(server.url, *arguments) == 2
    ended = capsys.readouterr()
    assert ended.err.startswith(f"proofrank: {message}")
    if "untrained:7" in arguments:
        assert "a server has it that was started with --policy untrained:7" in ended.err
    assert ended.out == ""


def test_a_server_that_is_not_there_ends_with_status_2_and_its_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_rank("http://127.0.0.1:1", *TRIPLE) == 2
    assert "proofrank: no answer from http://127.0.0.1:1: " in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--patience", "0"], ["--deadline-ms", "soon"], ["--side", "left"]])
def test_a_bad_option_is_refused_with_its_name(capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_rank("http://127.0.0.1:1", *TRIPLE, *option)
    assert ended.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_command_and_client_look_for_the_server_where_it_listens_by_default() -> None:
    settings = load_settings(environment={})
    assert f"http://{settings.host[0]}:{settings.port}" == DEFAULT_URL
    assert make_parser().parse_args(["rank", *TRIPLE]).url == DEFAULT_URL


def test_without_httpx_the_command_says_what_to_install() -> None:
    ended = run_without("httpx", "rank", *TRIPLE)
    assert ended.returncode == 2
    assert ended.stderr == "proofrank: rank needs httpx: pip install 'proofrank[client]'\n"
