"""``proofrank why`` and ``proofrank.why``: the rank of an evaluation, and what is ahead, on real graphs."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

import proofrank
from proofrank.core.default import DATASET, POLICY
from proofrank.core.evaluator import ReferenceEvaluator, settings_for
from proofrank.core.prover import Candidate
from proofrank.core.ranking import Corruptor
from proofrank.service.cli.main import main
from tests.helpers.embeddings import write_distmult

TRIPLE = ("albania", "locatedInCR", "europe")


@pytest.fixture(scope="module")
def dataset() -> proofrank.Dataset:
    return proofrank.load_dataset(DATASET)


@pytest.fixture(scope="module")
def policy(dataset: proofrank.Dataset) -> proofrank.Policy:
    return proofrank.load_policy(POLICY, dataset)


def without_index(ranking: proofrank.TripleRanking) -> dict:
    return {name: value for name, value in vars(ranking).items() if name != "query_index"}


def test_the_ranks_on_family_are_those_of_evaluate_and_what_is_ahead_is_ahead(shared_data: Path) -> None:
    family = proofrank.load_dataset(shared_data / "family")
    trained = proofrank.load_policy(shared_data.parent / "policies" / "family-trained", family)
    reference = ReferenceEvaluator(family, trained, settings_for(trained))
    triples = [family.names(triple) for triple in family.splits["test"][:16]]
    report = proofrank.evaluate(family, trained, triples=triples, corruptions=20, seed=2)
    by_rank = sorted(report.rankings, key=lambda ranking: ranking.rank)
    assert by_rank[-1].rank > 5

    for ranking in (*by_rank[:1], *by_rank[-2:]):
        names = (ranking.head, ranking.relation, ranking.tail)
        why = proofrank.why(family, trained, names, side=ranking.side, corruptions=20, seed=2, first=None)

        assert without_index(why.ranking) == without_index(ranking)
        assert why.num_higher == ranking.rank_optimistic - 1
        assert why.num_higher + why.num_tied == ranking.rank_pessimistic - 1 == len(why.ahead)
        positive = family.triple(*names)
        corruptions = Corruptor(family, 20, seed=2).corruptions(
            positive, "head" if ranking.side == "head" else "tail"
        )
        scores = {
            family.names(triple): reference.prove(Candidate(triple, is_positive=False)).score
            for triple in corruptions
        }
        own = reference.prove(Candidate(positive, is_positive=True)).score
        ahead = {(one.head, one.relation, one.tail): one for one in why.ahead}
        assert set(ahead) == {triple for triple, score in scores.items() if score >= own}
        for triple, one in ahead.items():
            assert one.score == pytest.approx(scores[triple], abs=1e-3)
            assert one.standing == ("higher" if scores[triple] > own else "tied")
        for one in (why.positive, *why.ahead):
            total = math.fsum(step.log_probability for step in one.steps)
            assert total == pytest.approx(one.log_probability, abs=1e-3)
            for step in one.steps:
                shares = [action.probability for action in step.alternatives]
                assert shares == sorted(shares, reverse=True)
                assert len(shares) <= 5
                assert math.fsum(shares) + step.probability_left_out == pytest.approx(1, abs=1e-9)
                (chosen,) = (action for action in step.alternatives if action.is_chosen)
                assert math.log(chosen.probability) == pytest.approx(step.log_probability, abs=1e-9)


def test_pruning_changes_nothing_of_the_answer(dataset: proofrank.Dataset, policy: proofrank.Policy) -> None:
    whole, *pruned = (
        proofrank.why(dataset, policy, TRIPLE, corruptions="all", also=["asia", "oceania"], pruning=level)
        for level in ("none", "exact", "ranks")
    )

    assert [one.tail for one in whole.also] == ["asia", "oceania"]
    assert pruned == [whole, whole]


def test_the_command_prints_the_trees_and_writes_what_python_gives(
    dataset: proofrank.Dataset, policy: proofrank.Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out" / "why.json"
    expected = proofrank.why(
        dataset, policy, TRIPLE, side="head", corruptions="all", first=1, alternatives=2, also=["belgium"]
    )
    options = [
        "--side",
        "head",
        "--corruptions",
        "all",
        "--first",
        "1",
        "--alternatives",
        "2",
        "--also",
        "belgium",
    ]

    assert main(["why", *TRIPLE, *options, "--json", str(path)]) == 0

    told = capsys.readouterr().out
    assert told.rstrip("\n") == expected.text
    assert json.loads(path.read_text()) == json.loads(json.dumps(expected.to_dict()))
    assert expected.positive.proof == proofrank.explain(dataset, policy, TRIPLE).text
    assert expected.positive.proof in told
    assert expected.also[0].choices in told
    assert f"rank {expected.ranking.rank:g} of {expected.ranking.num_candidates}; " in told


def test_with_a_beam_the_rank_is_that_of_evaluate_and_all_proofs_are_there(
    dataset: proofrank.Dataset, policy: proofrank.Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    beam: dict = {"beam": 4, "beam_score": "logsumexp"}
    triple = next(
        names
        for names in map(dataset.names, dataset.splits["test"])
        if len(proofrank.explain(dataset, policy, names, **beam).proofs) > 1
    )
    options: dict = {"side": "tail", "corruptions": "all", **beam}
    (ranking,) = proofrank.evaluate(dataset, policy, triples=[triple], **options).rankings

    why = proofrank.why(dataset, policy, triple, **options, also=["asia"])

    assert without_index(why.ranking) == without_index(ranking)
    assert (why.beam, why.beam_score, why.engine) == (4, "logsumexp", "eager")
    for one in (why.positive, *why.ahead, *why.also):
        names = (one.head, one.relation, one.tail)
        assert one.proofs == proofrank.explain(dataset, policy, names, **beam).proofs
        assert one.proved is bool(one.proofs)
        assert not one.proofs or one.proof == one.proofs[0]
    pruned = proofrank.why(dataset, policy, triple, **options, also=["asia"], pruning="ranks")
    assert pruned == why

    flags = ["--corruptions", "all", "--beam", "4", "--beam-score", "logsumexp", "--also", "asia"]
    assert main(["why", *triple, *flags]) == 0
    told = capsys.readouterr().out
    assert told.rstrip("\n") == why.text
    assert f"proof 2 of {len(why.positive.proofs)}:\n{why.positive.proofs[1]}" in told


@pytest.fixture(scope="module")
def embedding(dataset: proofrank.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distmult(tmp_path_factory.mktemp("embeddings") / "distmult", dataset)


@pytest.mark.parametrize("weights", [{"weight": 0.5, "penalty": 1.0}, {"weight": 2.0, "bonus": 1.5}])
def test_with_hybrid_scores_each_candidate_has_the_parts_that_decide_its_rank(
    dataset: proofrank.Dataset,
    policy: proofrank.Policy,
    embedding: Path,
    weights: dict,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scored: dict = {"corruptions": "all", "scoring": "hybrid", "embedding": embedding, "hybrid": weights}
    (ranking,) = proofrank.evaluate(dataset, policy, triples=[TRIPLE], side="head", **scored).rankings
    options: dict = {**scored, "side": "head", "first": 4, "also": ["belgium"]}

    why = proofrank.why(dataset, policy, TRIPLE, **options)

    assert without_index(why.ranking) == without_index(ranking)
    assert why.scoring["weights_from"] == "given"
    assert proofrank.why(dataset, policy, TRIPLE, pruning="ranks", **options) == why
    for one in (why.positive, *why.ahead, *why.also):
        assert one.embedding_part is not None and one.proof_part is not None
        assert one.embedding_part + one.proof_part == one.score
    assert why.positive.score == ranking.score
    first = why.ahead[0]
    assert first.score >= ranking.score
    told = why.text
    verb = "proof" if first.proved else "failure"
    assert f"{first.embedding_part:.4f} by the embedding and {first.proof_part:.4f} by {verb}:" in told
    assert first.embedding_part is not None and why.positive.embedding_part is not None
    assert f"{first.score - ranking.score:+.4f} to the triple: " in told
    assert f"{first.embedding_part - why.positive.embedding_part:+.4f} by the embedding, " in told

    path = tmp_path / "hybrid.json"
    path.write_text(json.dumps(weights))
    flags = ["--side", "head", "--corruptions", "all", "--first", "4", "--also", "belgium"]
    flags += ["--scoring", "hybrid", "--embedding", str(embedding), "--hybrid", str(path)]
    written = tmp_path / "why.json"
    assert main(["why", *TRIPLE, *flags, "--json", str(written)]) == 0
    assert capsys.readouterr().out.rstrip("\n") == told
    assert json.loads(written.read_text()) == json.loads(json.dumps(why.to_dict()))


def test_by_an_embedding_alone_the_scores_explain_the_rank(
    dataset: proofrank.Dataset, policy: proofrank.Policy, embedding: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored: dict = {"corruptions": "all", "scoring": "embedding", "embedding": embedding}
    (ranking,) = proofrank.evaluate(dataset, policy, triples=[TRIPLE], side="head", **scored).rankings

    why = proofrank.why(dataset, policy, TRIPLE, side="head", **scored)

    assert without_index(why.ranking) == without_index(ranking)
    assert (why.engine, why.scoring["kind"]) == ("none", "embedding")
    for one in (why.positive, *why.ahead):
        assert one.score == one.embedding_score
        assert (one.proof, one.steps, one.proof_part) == ("", (), None)
    flags = [
        "--side",
        "head",
        "--corruptions",
        "all",
        "--scoring",
        "embedding",
        "--embedding",
        str(embedding),
    ]
    assert main(["why", *TRIPLE, *flags]) == 0
    told = capsys.readouterr().out
    assert told.rstrip("\n") == why.text
    assert f"the triple itself, score {ranking.score:.4f} by the embedding" in told
    assert main(["why", *TRIPLE, "--scoring", "hybrid"]) == 2
    assert "--scoring hybrid needs --embedding" in capsys.readouterr().err
    with pytest.raises(proofrank.ProofrankError, match="with a beam of 2 expected 'proof' or 'hybrid'"):
        proofrank.why(dataset, policy, TRIPLE, beam=2, **scored)


def test_candidates_of_ones_own_and_protocols_rank_as_evaluate_does(
    dataset: proofrank.Dataset,
    policy: proofrank.Policy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ["asia", "africa", "europe"]
    path = tmp_path / "negatives.tsv"
    path.write_text("\t".join([*TRIPLE, "tail", *own[:2]]) + "\n")
    fixed: dict = {"protocol": "fixed-negatives", "side": "tail"}
    (expected,) = proofrank.evaluate(dataset, policy, triples=[TRIPLE], negatives=path, **fixed).rankings

    by_file = proofrank.why(dataset, policy, TRIPLE, negatives=path, first=None, **fixed)
    by_names = proofrank.why(dataset, policy, TRIPLE, candidates=own, first=None, **fixed)
    plain = proofrank.why(dataset, policy, TRIPLE, candidates=own, also=["asia"])

    assert by_file == by_names
    assert without_index(by_names.ranking) == without_index(expected)
    assert by_names.ranking.num_candidates == plain.ranking.num_candidates == 3
    assert plain.ranking.rank == by_names.ranking.rank
    assert main(["why", *TRIPLE, "--candidate", "asia", "--candidate", "africa", "--also", "asia"]) == 0
    assert capsys.readouterr().out.rstrip("\n") == plain.text

    protocols: list[dict] = [
        {"protocol": "filtered-all"},
        {"candidates_from": "relations", "corruptions": "all"},
    ]
    for options in protocols:
        whole = proofrank.evaluate(dataset, policy, triples=[TRIPLE], **options).rankings
        for ranking in whole:
            found = proofrank.why(dataset, policy, TRIPLE, side=ranking.side, **options)
            assert without_index(found.ranking) == without_index(ranking)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": []}, "candidates is empty; expected at least one name"),
        ({"candidates": ["asia", "asia"]}, "candidates has 'asia' for the second time"),
        ({"candidates": ["azia"]}, "unknown constant 'azia'; did you mean 'asia'"),
        (
            {"candidates": ["asia"], "also": ["africa"]},
            "also has 'africa', which is none of the 1 candidates that are ranked",
        ),
        ({"candidates": ["asia"], "protocol": "filtered-all"}, "has no part for candidates of one's own"),
        ({"protocol": "ogb"}, "protocol 'ogb' needs a file of fixed negatives"),
        ({"protocol": "deepprooflog"}, "depend on its place in an evaluation"),
        ({"beam": 65}, "beam is 65; expected a whole number from 1 to 64"),
        ({"side": "both"}, "side is 'both'; expected head or tail: one ranking is explained at a time"),
        ({"first": -1}, "first is -1; expected 0 or more"),
        ({"alternatives": 0}, "alternatives is 0; expected at least 1"),
        ({"corruptions": "some"}, "corruptions is 'some'; expected a whole number"),
        ({"also": ["azia"]}, "unknown constant 'azia'; did you mean 'asia'"),
        ({"also": ["europe"]}, "also has 'europe', which makes no corruption of this query"),
        ({"ties": "best"}, "ties is 'best'; expected one of optimistic"),
        ({"pruning": "all"}, "pruning is 'all'; expected one of none, exact, ranks"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(
    dataset: proofrank.Dataset, policy: proofrank.Policy, options: dict, message: str
) -> None:
    with pytest.raises(proofrank.ProofrankError, match=re.escape(message)):
        proofrank.why(dataset, policy, TRIPLE, **options)
