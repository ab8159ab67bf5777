"""``evaluate --mrr-tolerance`` and ``proofrank.evaluate(mrr_tolerance=…)``: intervals in place of metrics."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import proofrank
from proofrank.core.default import DATASET, POLICY
from proofrank.service.cli.main import main

WHOLE = ["evaluate", "--corruptions", "all"]


@pytest.fixture(scope="module")
def dataset() -> proofrank.Dataset:
    return proofrank.load_dataset(DATASET)


@pytest.fixture(scope="module")
def policy(dataset: proofrank.Dataset) -> proofrank.Policy:
    return proofrank.load_policy(POLICY, dataset)


@pytest.fixture(scope="module")
def exact(dataset: proofrank.Dataset, policy: proofrank.Policy) -> proofrank.EvaluationReport:
    return proofrank.evaluate(dataset, policy, corruptions="all")


def test_the_file_has_an_interval_of_each_metric_and_null_for_what_is_not_known(
    exact: proofrank.EvaluationReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "metrics.json"

    assert main([*WHOLE, "--mrr-tolerance", "0.01", "--json", str(path)]) == 0

    written = json.loads(path.read_text())
    low, high = written["intervals"]["mrr"]
    assert 0 < high - low <= 0.02
    assert written["mrr"] is None
    expected = exact.to_dict()
    for part, group in [
        ("", written),
        ("head", written["by_side"]["head"]),
        ("tail", written["by_side"]["tail"]),
    ]:
        whole = expected["by_side"][part] if part else expected
        for name, interval in group["intervals"].items():
            assert interval[0] <= whole[name] <= interval[1], (part, name)
            assert group[name] == (interval[0] if interval[0] == interval[1] else None)
    assert written["open"] == sum(ranking["open"] for ranking in written["rank_intervals"]) > 0
    for ranking, found in zip(written["rank_intervals"], exact.rankings, strict=True):
        assert (ranking["head"], ranking["side"]) == (found.head, found.side)
        assert ranking["rank_low"] <= found.rank <= ranking["rank_high"]
        assert ranking["proved"] is found.proved
    pruning = written["pruning"]
    assert (pruning["level"], pruning["mrr_tolerance"], pruning["open"]) == ("ranks", 0.01, written["open"])
    told = capsys.readouterr()
    # The ends are rounded outwards.
    assert f"{math.floor(low * 1e4) / 1e4:.4f}-{math.ceil(high * 1e4) / 1e4:.4f}" in told.out
    assert f"{written['open']} are open" in told.err


def test_a_smaller_tolerance_in_python_goes_on_to_the_exact_metrics(
    dataset: proofrank.Dataset, policy: proofrank.Policy, exact: proofrank.EvaluationReport
) -> None:
    told: list[tuple[int, int]] = []
    evaluation = proofrank.evaluate(dataset, policy, corruptions="all", mrr_tolerance=0.02)
    steps = evaluation.pruning_counts.steps
    interval = evaluation.metrics.mrr
    assert interval.half_width <= 0.02
    assert exact.metrics.mrr in interval

    same = evaluation.refine(0, progress=lambda done, total: told.append((done, total)))

    assert same is evaluation
    assert evaluation.metrics.mrr.value == exact.metrics.mrr
    assert [ranking.rank_low for ranking in evaluation.rankings] == [
        ranking.rank for ranking in exact.rankings
    ]
    assert evaluation.pruning_counts.steps > steps
    assert told[-1] == (exact.metrics.candidates, exact.metrics.candidates)
    assert told == sorted(told)
    at_once = proofrank.evaluate(dataset, policy, corruptions="all", mrr_tolerance=0)
    assert at_once.pruning_counts.steps == evaluation.pruning_counts.steps


def test_a_frame_has_a_row_for_each_ranking(dataset: proofrank.Dataset, policy: proofrank.Policy) -> None:
    evaluation = proofrank.evaluate(dataset, policy, corruptions=5, mrr_tolerance=0.5)

    frame = evaluation.to_frame()

    assert len(frame) == evaluation.metrics.rankings
    assert all(low <= high for low, high in zip(frame["rank_low"], frame["rank_high"], strict=True))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--mrr-tolerance", "-1"], "expected a number of 0 or more, such as 0.001"),
        (["--mrr-tolerance", "x"], "expected a number of 0 or more, such as 0.001"),
        (["--mrr-tolerance", "0.1", "--pruning", "none"], "pruning is 'none'; expected exact or ranks"),
        (["--mrr-tolerance", "0.1", "--results", "r.jsonl"], "--mrr-tolerance cannot be combined"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: list[str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["evaluate", *options])
    except SystemExit as stopped:
        status = stopped.code

    assert status == 2
    assert text in capsys.readouterr().err


def test_a_wrong_tolerance_in_python_is_refused(dataset: proofrank.Dataset, policy: proofrank.Policy) -> None:
    with pytest.raises(proofrank.RankingError, match="mrr_tolerance is -1"):
        proofrank.evaluate(dataset, policy, mrr_tolerance=-1)


def test_the_progress_bar_shows_the_interval(
    dataset: proofrank.Dataset,
    policy: proofrank.Policy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    evaluation = proofrank.evaluate(dataset, policy, corruptions="all", mrr_tolerance=0.01, progress=True)

    mrr = evaluation.metrics.mrr
    shown = capsys.readouterr().err
    assert f"MRR {mrr.low:.4f} to {mrr.high:.4f}" in shown
    assert f"{evaluation.metrics.open:,} open" in shown
