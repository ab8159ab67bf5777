"""Answers of a server, for comparison."""

from __future__ import annotations

from typing import Any

import httpx

from proofrank import EvaluationReport
from proofrank.client import RankResult


def rank(client: httpx.Client, queries: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    """The answer to a request that is taken."""
    answer = client.post("/rank", json={"queries": queries, **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def rankings_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """All rankings of an answer, in order."""
    return [ranking for query in answer["queries"] for ranking in query["rankings"]]


def without_time(value: Any) -> Any:
    """An answer without what may differ between two requests that are the same."""
    if isinstance(value, dict):
        left_out = ("seconds", "request_id", "timing")
        return {name: without_time(item) for name, item in value.items() if name not in left_out}
    return [without_time(item) for item in value] if isinstance(value, list) else value


def refusal(answer: httpx.Response, status: int = 422) -> dict[str, Any]:
    """The body of a refusal, checked for the form that all refusals have."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def assert_ranked_alike(answer: RankResult, expected: EvaluationReport) -> None:
    """Checks that a server ranks as the function does."""
    rankings = [ranking for query in answer.queries for ranking in query.rankings]
    for ranking, other in zip(rankings, expected.rankings, strict=True):
        for name in ("side", "rank", "score", "proved", "embedding_score", "num_candidates"):
            assert getattr(ranking, name) == getattr(other, name), name
    assert answer.metrics.mrr == expected.metrics.mrr
