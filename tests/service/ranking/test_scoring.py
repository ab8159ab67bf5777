"""A server with an embedding ranks as ``proofrank.evaluate`` does with it; one without says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import proofrank
from proofrank.client import Client, ClientError
from proofrank.core import provability
from proofrank.core.errors import ProofrankError
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.core.ranking import HybridWeights, hybrid_score, log_sigmoid
from proofrank.service.cli.main import main
from proofrank.service.client.results import RankResult
from tests.helpers.answers import assert_ranked_alike, rank, rankings_of
from tests.helpers.embeddings import write_distmult
from tests.helpers.intervals import assert_metrics_hold, assert_ranks_hold
from tests.helpers.scrapes import growth, scrape
from tests.helpers.serving import RunningServer

WEIGHTS_OF_PROOFS: dict[str, Any] = {"weight": 0.75, "bonus": None, "penalty": 2.5}
WEIGHTS = {"weight": 0.75, "bonus": 1.5, "penalty": 2.5}


@pytest.fixture(scope="module")
def embedding(family: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distmult(tmp_path_factory.mktemp("embeddings") / "distmult", family)


@pytest.fixture(scope="module")
def scored_server(serve_arguments: list[str], embedding: Path) -> Iterator[RunningServer]:
    """A server with an embedding, and weights of its own."""
    weights = embedding / "hybrid.json"
    weights.write_text('{"weight": 0.5, "penalty": 1.0}')
    with RunningServer(*serve_arguments, "--embedding", str(embedding), "--hybrid", str(weights)) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def scored(scored_server: RunningServer) -> Iterator[Client]:
    """A client of that server."""
    with Client(scored_server.url) as client:
        yield client


def test_weights_of_another_embedding_end_the_start(
    serve_arguments: list[str], embedding: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.json"
    weights.write_text('{"weight": 0.5, "embedding": {"name": "rotate", "sha256": "' + "0" * 64 + '"}}')
    options = ["--port", "0", "--embedding", str(embedding), "--hybrid", str(weights)]
    assert main(["serve", *serve_arguments, *options]) == 2
    assert "hybrid" in (told := capsys.readouterr().err) and "fitted with the embedding 'rotate'" in told


def test_info_says_what_scores_beside_proofs(
    scored_server: RunningServer, serve_arguments: list[str], embedding: Path
) -> None:
    source = proofrank.load_embedding(embedding)

    served = scored_server.client.get("/info").json()

    assert served["embedding"] == {
        "name": source.name,
        "sha256": source.content_hash,
        "kind": "DistMult",
        "hybrid": {"weight": 0.5, "bonus": None, "penalty": 1.0},
    }
    assert served["policy"]["hybrid"] is None
    with RunningServer(*serve_arguments) as without:
        assert without.wait_until_ready().client.get("/info").json()["embedding"] is None


@pytest.mark.parametrize(
    ("scoring", "hybrid"), [("proof", None), ("embedding", None), ("hybrid", None), ("hybrid", WEIGHTS)]
)
def test_the_answer_is_that_of_the_function(
    scoring: Any,
    hybrid: dict[str, Any] | None,
    scored: Client,
    family: Dataset,
    policy_folder: Path,
    embedding: Path,
) -> None:
    triples = [family.names(triple) for triple in family.splits["train"]]
    own = {"weight": 0.5, "penalty": 1.0} if hybrid is None else hybrid
    expected = proofrank.evaluate(
        family,
        load_policy(policy_folder, family),
        triples=triples,
        corruptions="all",
        engine="original",
        scoring=scoring,
        embedding=None if scoring == "proof" else embedding,
        hybrid=own if scoring == "hybrid" else None,
    )
    answer = scored.rank(triples, corruptions="all", scoring=scoring, hybrid=hybrid)
    assert answer.metrics.positives_proved == expected.metrics.positives_proved
    assert (answer.metrics.positives_proved is None) == (scoring == "embedding")
    assert_ranked_alike(answer, expected)
    assert answer.scoring is not None
    assert answer.scoring.kind == scoring
    identity = expected.scoring.get("embedding")
    assert (answer.scoring.embedding and answer.scoring.embedding.sha256) == (identity and identity["sha256"])
    if scoring == "hybrid":
        assert answer.scoring.weights is not None
        assert vars(answer.scoring.weights) == expected.scoring["weights"]


@pytest.mark.parametrize(
    ("scoring", "hybrid", "beam"),
    [("hybrid", None, None), ("hybrid", WEIGHTS, None), ("hybrid", None, 3), ("embedding", None, None)],
)
@pytest.mark.parametrize("tolerance", [0.1, 0.0])
def test_to_a_tolerance_the_exact_values_lie_inside(
    scoring: Any,
    hybrid: dict[str, Any] | None,
    beam: int | None,
    tolerance: float,
    scored_server: RunningServer,
    family: Dataset,
) -> None:
    client = scored_server.client
    named: tuple[str, ...] = ("head", "relation", "tail")
    queries: list[dict[str, Any]] = [
        dict(zip(named, family.names(triple), strict=True)) for triple in family.splits["train"]
    ]
    options: dict[str, Any] = {"corruptions": "all", "scoring": scoring, "hybrid": hybrid, "beam": beam}
    exact = rank(client, queries, **options)
    before = scrape(client)

    found = rank(client, queries, **options, mrr_tolerance=tolerance)

    assert_metrics_hold(found["metrics"], exact["metrics"])
    assert_ranks_hold(rankings_of(found), rankings_of(exact))
    low, high = found["metrics"]["intervals"]["mrr"]
    assert high - low <= 2 * tolerance
    assert found["scoring"] == exact["scoring"]
    assert found["engine"] == exact["engine"]
    assert "note" not in found["pruning"]
    after, num = scrape(client), found["metrics"]["candidates"]
    assert growth(before, after, "proofrank_scored_candidates_total", scoring=scoring) == num
    assert growth(before, after, "proofrank_queries_total") == len(queries)
    if scoring == "embedding":
        assert low == high == exact["metrics"]["mrr"]
        assert found["metrics"]["positives_proved"] is None
        assert found["pruning"]["steps"] == found["pruning"]["open"] == 0
        assert found["pruning"]["level"] == "none"
        for more in ({}, {"mrr_tolerance": tolerance}):
            asked = rank(client, queries, **options, **more, pruning="exact")
            assert "so pruning 'exact' leaves nothing out" in asked["pruning"]["note"]
            without = rank(client, queries, **options, **more, pruning="none")
            assert without["metrics"]["mrr"] == asked["metrics"]["mrr"]
        assert found["timing"]["execution_seconds"] > 0
    elif tolerance == 0:
        assert found["metrics"]["mrr"] == exact["metrics"]["mrr"]
        assert found["pruning"]["steps"] <= exact["pruning"]["steps"]


def test_candidates_have_the_scores_that_they_are_ranked_by(scored: Client, family: Dataset) -> None:
    triple = family.names(family.splits["test"][0])
    answer = scored.rank([triple], scoring="hybrid", corruptions="all", side="tail", return_candidates=True)
    (ranking,) = answer.queries[0].rankings
    assert ranking.candidates is not None
    scores = [candidate.score for candidate in ranking.candidates]
    assert scores[0] == ranking.score
    assert ranking.ranks.optimistic == 1 + sum(score > scores[0] for score in scores[1:])
    assert answer.scoring is not None and answer.scoring.weights is not None
    weights = HybridWeights(**vars(answer.scoring.weights))
    for candidate in ranking.candidates:
        assert candidate.embedding_score is not None and candidate.log_probability is not None
        parts = (candidate.embedding_score, candidate.proved, candidate.log_probability)
        assert candidate.score == hybrid_score(*parts, weights)
        assert candidate.embedding_part == weights.weight * log_sigmoid(candidate.embedding_score)
    first = ranking.candidates[0]
    assert (first.embedding_score, first.embedding_part) == (ranking.embedding_score, ranking.embedding_part)
    answer = scored.rank(
        [triple], scoring="embedding", corruptions="all", side="tail", return_candidates=True
    )
    (alone,) = answer.queries[0].rankings
    assert alone.candidates is not None
    assert alone.candidates[0].score == alone.score == alone.embedding_score
    assert {candidate.steps for candidate in alone.candidates} == {0}
    assert all(candidate.score == candidate.embedding_score for candidate in alone.candidates)
    assert {candidate.embedding_part for candidate in alone.candidates} == {alone.embedding_part} == {None}


@pytest.mark.parametrize("beam_score", ["max", "logsumexp", "noisy-or"])
def test_a_beam_has_its_score_in_place_of_the_log_probability(
    beam_score: Any, scored: Client, family: Dataset, policy_folder: Path, embedding: Path
) -> None:
    triples = [family.names(triple) for triple in family.splits["train"]]
    options: dict[str, Any] = {"corruptions": "all", "scoring": "hybrid", "beam": 3, "beam_score": beam_score}
    of_proofs_alone: dict[str, Any] = {**options, "scoring": "proof"}
    by_proofs = scored.rank(triples, **of_proofs_alone, return_candidates=True)
    whole = scored.rank(triples, hybrid=WEIGHTS_OF_PROOFS, **options, return_candidates=True)
    assert isinstance(by_proofs, RankResult) and isinstance(whole, RankResult)
    weights = HybridWeights(**WEIGHTS_OF_PROOFS)
    for of_proofs, of_both in zip(by_proofs.queries, whole.queries, strict=True):
        for mine, ranking in zip(of_proofs.rankings, of_both.rankings, strict=True):
            assert mine.candidates is not None and ranking.candidates is not None
            for by_proof, candidate in zip(mine.candidates, ranking.candidates, strict=True):
                assert candidate.proved == by_proof.proved
                assert candidate.embedding_score is not None and candidate.log_probability is not None
                if candidate.proved:
                    assert candidate.log_probability == by_proof.score
                parts = (candidate.embedding_score, candidate.proved, candidate.log_probability)
                assert candidate.score == hybrid_score(*parts, weights)
    ranks = [ranking.rank for query in whole.queries for ranking in query.rankings]
    for pruning in ("exact", "ranks"):
        answer = scored.rank(triples, hybrid=WEIGHTS_OF_PROOFS, pruning=pruning, **options)
        assert [ranking.rank for query in answer.queries for ranking in query.rankings] == ranks
    report = proofrank.evaluate(
        family,
        load_policy(policy_folder, family),
        triples=triples,
        engine="original",
        embedding=embedding,
        hybrid=WEIGHTS_OF_PROOFS,
        **options,
    )
    assert [ranking.rank for ranking in report.rankings] == ranks
    result = scored.evaluate("train", hybrid=WEIGHTS_OF_PROOFS, progress=False, **options)
    assert [ranking.rank for ranking in result.rankings] == ranks
    with pytest.raises(ClientError, match="'beam' is for scores of proofs; expected 'proof' or 'hybrid'"):
        scored.rank(triples, scoring="embedding", beam=3)
    with pytest.raises(ClientError, match="'return_proof' needs what is proved"):
        scored.rank(triples, scoring="embedding", return_proof=True)


def test_figures_of_a_policy_are_of_its_proofs_alone(
    scored: Client, scored_server: RunningServer, family: Dataset
) -> None:
    triples = [family.names(triple) for triple in family.splits["train"]]
    by_proofs = scored.rank(triples, corruptions="all")
    with httpx.Client(base_url=scored_server.url) as client:
        before = scrape(client)
        for scoring in ("embedding", "hybrid"):
            assert (
                scored.rank(triples, corruptions="all", scoring=scoring).metrics.mrr != by_proofs.metrics.mrr
            )
        after = scrape(client)
    name = ("proofrank_last_request_mrr", ())
    assert after[name] == before[name] == by_proofs.metrics.mrr


def test_a_server_without_an_embedding_says_so(server: RunningServer, family: Dataset) -> None:
    triple = family.names(family.splits["test"][0])
    with Client(server.url) as client, pytest.raises(ClientError, match="this server has no embedding"):
        client.rank([triple], scoring="hybrid")


def test_weights_without_hybrid_scores_are_refused(scored: Client, family: Dataset) -> None:
    triple = family.names(family.splits["test"][0])
    with pytest.raises(ClientError, match="'hybrid' gives weights; expected 'hybrid' as 'scoring' too"):
        scored.rank([triple], hybrid=WEIGHTS)
    with pytest.raises(ClientError, match="greater than or equal to 0"):
        scored.rank([triple], scoring="hybrid", hybrid={"weight": -1.0})


def test_a_server_does_not_start_with_an_embedding_of_another_graph(
    serve_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.tsv"
    scores.write_text("r(a,b) 1\n")
    assert main(["serve", *serve_arguments, "--port", "0", "--embedding", str(scores)]) == 2
    assert "no finite score behind a tab" in capsys.readouterr().err


def test_where_nothing_is_proved_the_least_model_is_not_computed(
    family: Dataset, policy_folder: Path, embedding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is proved")

    monkeypatch.setattr(provability, "stored_least_model", fail)
    policy = load_policy(policy_folder, family)
    report = proofrank.evaluate(family, policy, scoring="embedding", embedding=embedding, pruning="exact")
    assert report.pruning == "none"
    assert report.pruning_note is not None
    with pytest.raises(ProofrankError, match="pruning is 'most'; expected one of none, exact, ranks"):
        proofrank.evaluate(family, policy, scoring="embedding", embedding=embedding, pruning="most")
