"""``proofrank evaluate --scoring`` and ``proofrank.evaluate(scoring=…)`` rank by embeddings and by hybrid scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import proofrank
from proofrank.core.errors import EmbeddingError, RankingError
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.core.ranking import HybridWeights, hybrid_score
from proofrank.service.cli.main import main
from tests.helpers.embeddings import make_distmult, write_distmult, write_too_large
from tests.helpers.intervals import assert_metrics_hold, assert_ranks_hold

WEIGHTS = {"weight": 0.75, "bonus": None, "penalty": 2.5}
FLAGS = ["--scoring", "hybrid", "--weight", "0.75", "--penalty", "2.5"]


@pytest.fixture
def embedding(family: Dataset, tmp_path: Path) -> Path:
    return write_distmult(tmp_path / "distmult", family)


@pytest.fixture
def arguments(evaluate_arguments: list[str], embedding: Path, tmp_path: Path) -> list[str]:
    written = ["--json", str(tmp_path / "metrics.json"), "--rankings", "--without-seconds"]
    return [*evaluate_arguments, "--corruptions", "all", "--embedding", str(embedding), *written]


def written(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "metrics.json").read_text())


def test_the_command_and_the_function_give_the_same(
    arguments: list[str],
    evaluate_arguments: list[str],
    family: Dataset,
    embedding: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*arguments, *FLAGS]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert ", scoring hybrid (DistMult distmult, given weights)" in out
    policy = load_policy(evaluate_arguments[evaluate_arguments.index("--policy") + 1], family)
    options: dict[str, Any] = {"corruptions": "all", "engine": "original", "scoring": "hybrid"}
    report = proofrank.evaluate(family, policy, embedding=embedding, hybrid=WEIGHTS, **options)
    by_hand = report.to_dict(rankings=True)
    found = written(tmp_path)
    assert found["results"] == by_hand["results"]
    assert found["mrr"] == report.metrics.mrr
    assert (
        found["scoring"]
        == by_hand["scoring"]
        == {
            "kind": "hybrid",
            "embedding": {
                "name": "distmult",
                "sha256": report.scoring["embedding"]["sha256"],
                "kind": "DistMult",
            },
            "weights": WEIGHTS,
            "weights_from": "given",
        }
    )
    assert found["protocol"]["scoring"] == "hybrid"
    (tmp_path / "hybrid.json").write_text(json.dumps(WEIGHTS))
    assert main([*arguments, "--scoring", "hybrid", "--hybrid", str(tmp_path / "hybrid.json")]) == 0
    assert written(tmp_path) == found


def test_every_ranking_holds_the_parts_of_its_score(
    arguments: list[str], family: Dataset, tmp_path: Path
) -> None:
    assert main([*arguments, *FLAGS]) == 0
    results = written(tmp_path)["results"]
    triples = [family.triple(row["head"], row["relation"], row["tail"]) for row in results]
    expected = make_distmult(family).scorer(family, "cpu").scores(np.array(triples))
    assert [row["embedding_score"] for row in results] == expected.tolist()
    for row in results:
        parts = (row["embedding_score"], row["proved"], row["log_probability"])
        assert row["score"] == hybrid_score(*parts, HybridWeights(**WEIGHTS))
    assert {row["proved"] for row in results} == {True, False}


def test_an_embedding_alone_proves_nothing(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--scoring", "embedding"]) == 0
    assert "engine none, scoring embedding (DistMult distmult)" in capsys.readouterr().out
    found = written(tmp_path)
    assert [row["score"] for row in found["results"]] == [row["embedding_score"] for row in found["results"]]
    assert {(row["proved"], row["steps"]) for row in found["results"]} == {(False, 0)}
    assert found["positives_proved"] is found["corruptions_proved"] is None
    for part in ("by_side", "by_relation"):
        assert {metrics["positives_proved"] for metrics in found[part].values()} == {None}
    assert found["pruning"] == {"level": "none"}
    for extra in ([], ["--mrr-tolerance", "0.1"]):
        own = [option for option in arguments if option != "--rankings"]
        assert main([*own, "--scoring", "embedding", "--pruning", "ranks", *extra]) == 0
        note = "nothing is proved with scoring 'embedding', so pruning 'ranks' leaves nothing out"
        assert note in capsys.readouterr().err
        told = written(tmp_path)["pruning"]
        assert (told["level"], told["note"]) == ("none", note)
        assert main([*own, "--scoring", "embedding", "--pruning", "none", *extra]) == 0
        told = written(tmp_path)["pruning"]
        assert told["level"] == "none" and "note" not in told


@pytest.mark.parametrize("flags", [FLAGS, ["--scoring", "embedding"]])
@pytest.mark.parametrize("tolerance", ["0.1", "0"])
def test_to_a_tolerance_the_exact_values_lie_inside(
    flags: list[str],
    tolerance: str,
    arguments: list[str],
    family: Dataset,
    embedding: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [*arguments, "--split", "train", *flags]
    assert main(arguments) == 0
    exact = written(tmp_path)
    capsys.readouterr()
    arguments.remove("--rankings")

    assert main([*arguments, "--mrr-tolerance", tolerance]) == 0

    found, told = written(tmp_path), capsys.readouterr()
    assert_metrics_hold(found, exact)
    assert_ranks_hold(found["rank_intervals"], exact["results"])
    low, high = found["intervals"]["mrr"]
    assert high - low <= 2 * float(tolerance)
    assert found["scoring"] == exact["scoring"]
    assert found["protocol"] == exact["protocol"]
    is_alone = flags[1] == "embedding"
    assert (f"engine none, scoring {flags[1]} (DistMult distmult)" in told.out) == is_alone
    assert ("are open" in told.err) != is_alone
    assert found["pruning"]["level"] == ("none" if is_alone else "ranks")
    if is_alone or tolerance == "0":
        assert (low, found["open"]) == (high, 0) == (exact["mrr"], 0)
    evaluation = proofrank.evaluate(
        family,
        load_policy(arguments[arguments.index("--policy") + 1], family),
        split="train",
        corruptions="all",
        engine="original",
        scoring=flags[1],
        embedding=embedding,
        hybrid=None if is_alone else WEIGHTS,
        mrr_tolerance=float(tolerance),
    )
    by_hand = evaluation.to_dict()
    assert by_hand["rank_intervals"] == found["rank_intervals"]
    assert by_hand["scoring"] == found["scoring"]
    assert evaluation.refine(0).metrics.mrr.value == exact["mrr"]


def test_a_comparison_says_that_scores_are_unlike(
    arguments: list[str], family: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_distmult(tmp_path / "other", family, seed=1)
    weights = tmp_path / "weights.json"
    weights.write_text('{"weight": 0.75, "penalty": 2.5, "by_relation": {"parent": {"bonus": 1.0}}}')
    evaluations = {
        "plain": FLAGS,
        "again": FLAGS,
        "of-relations": ["--scoring", "hybrid", "--hybrid", str(weights)],
        "bonus": [*FLAGS, "--bonus", "2"],
        "other": [*FLAGS, "--embedding", str(other)],
        "alone": ["--scoring", "embedding"],
        "other-alone": ["--scoring", "embedding", "--embedding", str(other)],
    }
    files = {name: str(tmp_path / f"{name}.json") for name in evaluations}
    for name, flags in evaluations.items():
        assert main([*arguments, *flags, "--json", files[name]]) == 0
    capsys.readouterr()

    def told(a: str, b: str) -> str:
        assert main(["compare", files[a], files[b]]) == 0
        return capsys.readouterr().out

    same_policy = "The policy is the same, and the differences are none of policies."
    assert "unlike" not in told("plain", "again")
    assert f"The scores are unlike: bonus is none in A and 2 in B. {same_policy}" in told("plain", "bonus")
    words = "the weights of 'parent' differ (1 of those with weights of their own)"
    assert f"The scores are unlike: {words}. {same_policy}" in told("of-relations", "plain")
    assert "the embedding is 'distmult' (" in (between := told("plain", "other"))
    assert "in A and 'other' (" in between
    assert "By an embedding alone the policy has no part in a rank." in told("alone", "other-alone")
    report = json.loads(Path(files["plain"]).read_text())
    report["policy"]["sha256"] = "0" * 64
    Path(files["plain"]).write_text(json.dumps(report))
    assert "The policies differ too, and the differences are of all of it together." in told("plain", "bonus")
    del report["scoring"]
    Path(files["plain"]).write_text(json.dumps(report))
    assert "A does not say what it scores by, so the scores may be unlike." in told("plain", "bonus")


def test_results_of_shards_say_what_they_score_by_too(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = [option for option in arguments if option not in ("--rankings", "--without-seconds")]
    files = [str(tmp_path / f"{name}.jsonl") for name in ("a", "b")]
    for file, weight in zip(files, ("0.5", "2"), strict=True):
        assert main([*plain, "--scoring", "hybrid", "--weight", weight, "--results", file]) == 0
    capsys.readouterr()
    markdown = tmp_path / "compared.md"
    assert main(["compare", *files, "--markdown", str(markdown)]) == 0
    assert "The scores are unlike: weight is 0.5 in A and 2 in B." in capsys.readouterr().out
    assert "- The scores are unlike: weight is 0.5 in A and 2 in B." in markdown.read_text()


def test_evaluations_of_two_scorings_are_not_compared(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("embedding", "hybrid"):
        assert main([*arguments, "--scoring", kind, "--json", str(tmp_path / f"{kind}.json")]) == 0
    assert main(["compare", str(tmp_path / "embedding.json"), str(tmp_path / "hybrid.json")]) == 2
    assert "scoring is 'embedding' in A and 'hybrid' in B" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weight", "1"], "--weight is for --scoring hybrid, and scoring is 'proof'"),
        ([], "--embedding is for --scoring embedding or hybrid"),
        ([*FLAGS, "--hybrid", "x.json"], "--hybrid and --weight both give weights"),
        ([*FLAGS[:2], "--weight", "-1"], "weight of hybrid scores is -1.0"),
        ([*FLAGS[:2], "--hybrid", "none.json"], "none.json: cannot be read"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], message: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*(option for option in arguments if option != "--rankings"), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_scoring_without_embedding_is_refused(
    evaluate_arguments: list[str], family: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*evaluate_arguments, "--scoring", "hybrid"]) == 2
    assert "--scoring hybrid needs --embedding" in capsys.readouterr().err
    policy = load_policy(evaluate_arguments[evaluate_arguments.index("--policy") + 1], family)
    with pytest.raises(RankingError, match="needs an embedding; none is given"):
        proofrank.evaluate(family, policy, scoring="hybrid")
    scores = tmp_path / "scores.tsv"
    scores.write_text("parent(ben,Zoë)\t1\n")
    with pytest.raises(EmbeddingError, match=r"no score of ancestor\(anna,Zoë\)"):
        proofrank.evaluate(family, policy, scoring="embedding", embedding=scores)


def test_scores_that_are_not_finite_are_refused(
    evaluate_arguments: list[str], family: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    large = write_too_large(tmp_path / "large", family, finite="parent")
    for kind in ("embedding", "hybrid"):
        for tolerance in ([], ["--mrr-tolerance", "0.1"]):
            options = ["--embedding", str(large), "--scoring", kind, *tolerance]
            assert main([*evaluate_arguments, *options]) == 2
            told = " ".join(capsys.readouterr().err.split())
            assert "DistMult 'large' gives ancestor(" in told and "the score inf" in told


def test_with_an_embedding_alone_every_level_of_pruning_is_none(
    family: Dataset, embedding: Path, evaluate_arguments: list[str]
) -> None:
    policy = load_policy(evaluate_arguments[evaluate_arguments.index("--policy") + 1], family)
    options: dict[str, Any] = {"scoring": "embedding", "embedding": embedding}
    tolerances: list[dict[str, Any]] = [{}, {"mrr_tolerance": 0.1}]
    for tolerance in tolerances:
        for pruning in (None, "none", "exact", "ranks"):
            assert (
                proofrank.evaluate(family, policy, pruning=pruning, **options, **tolerance).pruning == "none"
            )
        with pytest.raises(RankingError, match="pruning is 'rank'; expected one of none, exact, ranks"):
            proofrank.evaluate(family, policy, pruning="rank", **options, **tolerance)
    with pytest.raises(RankingError, match="pruning is 'none'; expected exact or ranks"):
        proofrank.evaluate(
            family, policy, pruning="none", scoring="hybrid", embedding=embedding, mrr_tolerance=0.1
        )
