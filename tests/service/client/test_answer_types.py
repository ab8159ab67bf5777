"""The types that the client gives: what code that uses them may do with them."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest

from proofrank.service import client, wire
from proofrank.service.client import CandidateScore, JobResult, Metrics, RankResult

METRICS = {
    "mrr": 0.5, "hits@1": 0.25, "hits@3": 0.5, "hits@10": 1, "mean_rank": 4.0, "adjusted_mean_rank_index": None,
    "positives_proved": 0.5, "corruptions_proved": None, "rankings": 1, "queries": 1, "candidates": 2, "seconds": 0.1,
}  # fmt: skip
SCORE = {"head": "a", "relation": "p", "tail": "Zoë", "score": -1.5, "proved": True, "steps": 2}
RANKS = {"optimistic": 1.0, "realistic": 1.5, "pessimistic": 2.0, "random": 1.0}
RANKING = {
    "side": "tail", "rank": 1.5, "reciprocal_rank": 0.75, "ranks": RANKS, "score": -1.5, "log_probability": -1.5,
    "proved": True, "steps": 2, "num_candidates": 1, "num_filtered": None, "candidates": [SCORE], "proof": None,
    "proofs": None, "embedding_score": None, "embedding_part": None,
}  # fmt: skip
IDENTITY = {"name": "d", "sha256": "0"}
PRUNING = {"level": "exact", "evaluated": 1, "unprovable": 1, "fallen_behind": 0, "steps": 2}
ANSWER: dict[str, Any] = {
    "request_id": "r", "dataset": IDENTITY, "policy": IDENTITY, "engine": "eager",
    "metrics": {**METRICS, "by_side": {"tail": METRICS}, "by_relation": {}},
    "timing": {"queue_seconds": 0.0, "first_result_seconds": 0.1, "execution_seconds": 0.2},
    "queries": [{"head": "a", "relation": "p", "tail": "Zoë", "rankings": [RANKING]}],
    "pruning": PRUNING, "beam": 1, "beam_score": "max", "scoring": None,
}  # fmt: skip
JOB = {
    "id": "j", "state": "done", "created": "2026-01-31T12:00:00.120+00:00", "started": None, "finished": None,
    "policy": IDENTITY, "dataset": IDENTITY, "request": {"split": "test"},
    "progress": {"queries": 1, "queries_done": 1, "candidates": 2, "candidates_done": 2},
    "metrics": None, "error": None,
}  # fmt: skip


def read(kind: Any, value: Any) -> Any:
    """An answer as the client reads it."""
    return wire.read_answer(kind, json.dumps(value))


def test_an_answer_is_written_as_it_was_read() -> None:
    assert json.loads(wire.answer_to_json(read(RankResult, ANSWER))) == ANSWER


def test_answers_of_a_server_that_does_not_prune_are_read() -> None:
    older = {name: value for name, value in ANSWER.items() if name != "pruning"}

    assert read(RankResult, ANSWER).pruning == client.Pruning("exact", 1, 1, 0, 2)
    assert read(RankResult, older).pruning is None
    assert read(client.Job, JOB).pruning is None


def test_times_have_one_form() -> None:
    job = read(client.Job, JOB)
    assert (job.created.year, job.created.microsecond) == (2026, 120_000)
    assert json.loads(wire.answer_to_json(job))["created"] == "2026-01-31T12:00:00.120Z"


def test_answers_are_frozen_equal_by_value_and_can_be_copied_and_pickled() -> None:
    result = read(RankResult, ANSWER)
    (score,) = result.queries[0].rankings[0].candidates
    for value, name in ((result, "engine"), (score, "score")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)
        assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    parts = {"log_probability": None, "embedding_score": None, "embedding_part": None}
    assert dataclasses.asdict(score) == {**SCORE, **parts}
    assert score == CandidateScore(**SCORE)


def test_metrics_have_hits_by_name_and_by_k() -> None:
    report = read(RankResult, ANSWER).metrics
    assert report.hits_at == {1: 0.25, 3: 0.5, 10: 1.0}
    assert report.overall.hits_at_10 == 1.0
    assert isinstance(report.by_side["tail"], Metrics)


def test_fields_of_a_newer_server_are_left_out_however_deep() -> None:
    def newer(value: Any) -> Any:
        if isinstance(value, dict):
            return {"new": {}} | {name: newer(item) for name, item in value.items()}
        return [newer(item) for item in value] if isinstance(value, list) else value

    mapped = newer(ANSWER)
    for names in ("by_side", "by_relation"):  # their keys are names, not fields
        del mapped["metrics"][names]["new"]
    assert read(RankResult, mapped) == read(RankResult, ANSWER)
    ranking = {name: value for name, value in RANKING.items() if name not in ("candidates", "proof")} | {
        "query_index": 0,
        "head": "a",
        "relation": "p",
        "tail": "b",
        "corruptions_proved": 0,
    }
    results = {"job": JOB, "rankings": [ranking]}
    assert read(JobResult, newer(results)) == read(JobResult, results)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("score", "-1.5"), ("score", None), ("head", 5), ("head", None)),
        *(("proved", 1), ("proved", "true"), ("steps", "2"), ("steps", 2.5)),
    ],
)
def test_a_value_of_another_type_is_not_turned_into_the_right_one(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        read(CandidateScore, {**SCORE, field: value})
    assert read(CandidateScore, {**SCORE, "score": -1}).score == -1.0
