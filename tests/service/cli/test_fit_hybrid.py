"""``proofrank fit-hybrid``: weights that ``evaluate --hybrid`` takes, fitted to valid and never to test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import proofrank
from proofrank.core.errors import EvaluationError, RankingError
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.service.cli.main import main
from tests.helpers.embeddings import write_distmult


@pytest.fixture
def arguments(evaluate_arguments: list[str], family: Dataset, tmp_path: Path) -> list[str]:
    embedding = write_distmult(tmp_path / "distmult", family)
    return [*evaluate_arguments[1:], "--corruptions", "all", "--embedding", str(embedding)]


def test_the_weights_rank_as_their_file_says(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, metrics = tmp_path / "hybrid.json", tmp_path / "metrics.json"
    assert main(["fit-hybrid", *arguments, "--split", "train", "--out", str(path)]) == 0
    out = capsys.readouterr().out
    assert "train: 9 triples, 18 rankings" in out
    assert "gain of the last over proof" in out and "gain of the last over embedding" in out
    content = json.loads(path.read_text())
    assert content["format"] == "proofrank-hybrid-1"
    for scoring in ("proof", "embedding", "hybrid"):
        own = ["--hybrid", str(path)] if scoring == "hybrid" else []
        given = arguments if scoring != "proof" else arguments[:-2]
        asked = ["evaluate", *given, "--split", "train", "--scoring", scoring, *own, "--json", str(metrics)]
        assert main(asked) == 0
        mrr = json.loads(metrics.read_text())["mrr"]
        assert mrr == pytest.approx(content["fitted"]["mrr"][scoring]["mean"], abs=1e-12)


def test_test_is_refused(
    arguments: list[str],
    evaluate_arguments: list[str],
    family: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fit-hybrid", *arguments, "--split", "test", "--out", str(tmp_path / "hybrid.json")]) == 2
    assert "split is 'test'; expected valid or train; test judges the weights" in capsys.readouterr().err
    policy = load_policy(evaluate_arguments[evaluate_arguments.index("--policy") + 1], family)
    with pytest.raises(RankingError, match="split is 'test'"):
        proofrank.fit_hybrid(family, policy, tmp_path / "distmult", split="test")


def test_the_function_gives_what_the_command_writes(
    arguments: list[str], evaluate_arguments: list[str], family: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "hybrid.json"
    options = ["--split", "train", "--queries", "6", "--seed", "4"]
    assert main(["fit-hybrid", *arguments, *options, "--by-relation", "--out", str(path)]) == 0
    policy = load_policy(evaluate_arguments[evaluate_arguments.index("--policy") + 1], family)
    told: list[tuple[int, int]] = []
    fitted = proofrank.fit_hybrid(
        family,
        policy,
        proofrank.load_embedding(tmp_path / "distmult"),
        split="train",
        queries=6,
        corruptions="all",
        seed=4,
        by_relation=True,
        engine="original",
        progress=lambda done, total: told.append((done, total)),
    )
    content = json.loads(path.read_text())
    assert content["fitted"] == fitted.to_dict()
    assert proofrank.Hybrid.from_dict(content) == fitted.hybrid
    assert told[-1][0] == told[-1][1] > 0


@pytest.mark.parametrize("beam_score", ["max", "logsumexp"])
def test_weights_are_fitted_to_the_scores_of_a_beam_and_say_so(
    beam_score: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, metrics = tmp_path / "hybrid.json", tmp_path / "metrics.json"
    beam = ["--beam", "3", "--beam-score", beam_score]
    of_train = ["--split", "train"]
    assert main(["fit-hybrid", *arguments, *of_train, *beam, "--out", str(path)]) == 0
    assert f"by a beam of 3 ({beam_score})" in capsys.readouterr().out
    fitted = json.loads(path.read_text())["fitted"]
    assert fitted["beam"] == {"width": 3, "score": beam_score}

    def evaluated(*options: str) -> dict[str, Any]:
        assert main(["evaluate", *options, *of_train, "--json", str(metrics)]) == 0
        return json.loads(metrics.read_text())

    # The figures are those of an evaluation by the same beam, which has nothing to warn of.
    for_hybrid = [*arguments, "--scoring", "hybrid", "--hybrid", str(path)]
    by_proofs, by_both = evaluated(*arguments[:-2], *beam), evaluated(*for_hybrid, *beam)
    assert "the weights" not in capsys.readouterr().err and "warning" not in by_both["scoring"]
    for kind, written in (("proof", by_proofs), ("hybrid", by_both)):
        assert written["mrr"] == pytest.approx(fitted["mrr"][kind]["mean"], abs=1e-12)
    greedy = evaluated(*for_hybrid)
    told = f"fitted to a beam of 3 ({beam_score}), and score greedy proofs; expected the same beam"
    assert told in capsys.readouterr().err and told in greedy["scoring"]["warning"]


def test_a_beam_changes_what_is_fitted(
    arguments: list[str], evaluate_arguments: list[str], family: Dataset, tmp_path: Path
) -> None:
    policy = load_policy(evaluate_arguments[evaluate_arguments.index("--policy") + 1], family)
    fits = [
        proofrank.fit_hybrid(
            *(family, policy, tmp_path / "distmult"),
            split="train",
            corruptions="all",
            engine="original",
            beam=beam,
            beam_score="logsumexp",
        )
        for beam in (1, 4)
    ]
    assert [fit.beam.width for fit in fits] == [1, 4]
    assert fits[0].mrr["proof"] != fits[1].mrr["proof"]
    with pytest.raises(EvaluationError, match="beam is 0; expected a whole number from 1"):
        proofrank.fit_hybrid(family, policy, tmp_path / "distmult", split="train", beam=0)
