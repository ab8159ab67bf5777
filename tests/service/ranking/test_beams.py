"""Beams over HTTP: the numbers of the engine in this process, in requests and in jobs, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import proofrank
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.service.client import Client, InvalidRequestError
from tests.helpers.serving import RunningServer

TRIPLES = [("anna", "ancestor", "Zoë"), ("george.1", "ancestor", "cara"), ("ben", "parent", "Zoë")]


@pytest.fixture
def speaker(server: RunningServer) -> Client:
    """The client of the package."""
    return Client(str(server.client.base_url))


def expected(
    family: Dataset, policy_folder: Path, beam: int, beam_score: str
) -> list[proofrank.TripleRanking]:
    report = proofrank.evaluate(
        family,
        load_policy(policy_folder, family),
        triples=TRIPLES,
        corruptions="all",
        beam=beam,
        beam_score=beam_score,
        prover={},
    )
    return list(report.rankings)


@pytest.mark.parametrize(("beam", "beam_score"), [(4, "max"), (3, "logsumexp"), (2, "noisy-or")])
def test_requests_and_jobs_have_the_numbers_of_this_process(
    beam: int, beam_score: str, speaker: Client, family: Dataset, policy_folder: Path
) -> None:
    rankings = expected(family, policy_folder, beam, beam_score)
    options = {"corruptions": "all", "beam": beam, "beam_score": beam_score}
    with speaker:
        answer = speaker.rank(TRIPLES, **options)  # pyright: ignore[reportArgumentType]
        job = speaker.evaluate(TRIPLES, progress=False, **options)  # pyright: ignore[reportArgumentType]

    assert (answer.beam, answer.beam_score, answer.engine) == (beam, beam_score, "eager")
    of_request = [ranking for query in answer.queries for ranking in query.rankings]
    assert [(one.score, one.rank) for one in of_request] == [(one.score, one.rank) for one in rankings]
    assert [(one.score, one.rank) for one in job.rankings] == [(one.score, one.rank) for one in rankings]
    assert (job.job.request.beam, job.job.request.beam_score) == (beam, beam_score)


def test_an_mrr_to_a_tolerance_has_the_ranks_of_the_beam(
    speaker: Client, family: Dataset, policy_folder: Path
) -> None:
    rankings = expected(family, policy_folder, 4, "logsumexp")
    with speaker:
        answer = speaker.rank(TRIPLES, corruptions="all", beam=4, beam_score="logsumexp", mrr_tolerance=0.0)

    assert (answer.beam, answer.beam_score, answer.engine) == (4, "logsumexp", "eager")
    intervals = [one for query in answer.queries for one in query.rankings]
    assert [one.rank_low for one in intervals] == [one.rank for one in rankings]


def test_without_a_beam_an_answer_says_that_there_was_one_trajectory(speaker: Client) -> None:
    with speaker:
        plain, one = speaker.rank(TRIPLES), speaker.rank(TRIPLES, beam=1, beam_score="logsumexp")

    assert (plain.beam, plain.beam_score) == (1, "max")
    assert plain.queries == one.queries
    assert plain.engine == one.engine == "original"


def test_jobs_of_other_beams_are_not_compared(speaker: Client) -> None:
    with speaker:
        jobs = [speaker.evaluate(TRIPLES, progress=False, beam=beam).job for beam in (None, 2)]
        with pytest.raises(InvalidRequestError, match="beam is 1 in A and 2 in B"):
            speaker.compare(*jobs)


def test_all_proofs_of_a_beam_are_shown_the_best_first(speaker: Client) -> None:
    with speaker:
        ranking = speaker.rank([TRIPLES[0]], side="tail", return_proof=True, beam=2).queries[0].rankings[0]
        plain = speaker.rank([TRIPLES[0]], side="tail", return_proof=True).queries[0].rankings[0]

    assert plain.proofs is None
    assert ranking.proofs is not None
    assert bool(ranking.proofs) is ranking.proved
    assert all(
        proof.text.rstrip().endswith(f"score {score:.4f}")
        for proof, score in [
            (proof, sum(step.log_probability for step in proof.steps)) for proof in ranking.proofs
        ]
    )
    assert ranking.proof is not None
    assert not ranking.proofs or ranking.proof.text == ranking.proofs[0].text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beam": 9}, "too many: at most 8 trajectories of a candidate (max_beam)"),
        ({"beam": 0}, "greater than or equal to 1"),
        ({"beam": 2, "beam_score": "mean"}, "'max', 'logsumexp' or 'noisy-or'"),
    ],
)
@pytest.mark.parametrize("path", ["/rank", "/jobs"])
def test_what_cannot_be_is_refused_at_once(
    path: str, fields: dict, message: str, server: RunningServer
) -> None:
    head, relation, tail = TRIPLES[0]
    body = {"queries": [{"head": head, "relation": relation, "tail": tail}], **fields}

    answer = server.client.post(path, json=body)

    assert answer.status_code == 422
    assert message in str(answer.json()), answer.text
    assert server.client.get("/info").json()["limits"]["max_beam"] == 8
