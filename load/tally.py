"""The results of requests: times by endpoint, candidates, and answers by status; percentiles of the times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

OK = 200
REFUSED = (429, 503)
"""Statuses of refusals: the server is full, not ready, or stopping."""

NO_ANSWER = 0
"""Status of a request whose connection failed."""


@dataclass(frozen=True)
class Answer:
    """One request and its result.

    Attributes:
        endpoint: the kind of request, in words.
        status: status of the answer, or ``NO_ANSWER``.
        seconds: time from when the request was due to the end of its answer.
        ended: end of its answer by ``time.perf_counter()``.
        candidates: number of candidates ranked for it.
        queries: number of queries ranked for it; a triple ranked on both sides is one.
        mrr: MRR of the answer, if it has ranks.
    """

    endpoint: str
    status: int
    seconds: float
    ended: float
    candidates: int = 0
    queries: int = 0
    mrr: float | None = None

    @property
    def is_ok(self) -> bool:
        """Whether it was answered."""
        return self.status // 100 == OK // 100

    @property
    def is_refused(self) -> bool:
        """Whether the server refused it for now."""
        return self.status in REFUSED


@dataclass(frozen=True)
class Quantiles:
    """Percentiles of times, in seconds; NaN if there are no times."""

    p50: float
    p95: float
    p99: float

    @staticmethod
    def of(seconds: Iterable[float]) -> Quantiles:
        """Computes the percentiles of ``seconds``: the smallest values that so many percent do not exceed."""
        ordered = sorted(seconds)
        return Quantiles(*(_nearest_rank(ordered, percent) for percent in (50, 95, 99)))


def _nearest_rank(ordered: Sequence[float], percent: int) -> float:
    if not ordered:
        return math.nan
    return ordered[math.ceil(percent * len(ordered) / 100) - 1]


@dataclass
class Tally:
    """Collects answers.

    Attributes:
        answers: the answers so far.
        num_given_up: requests in progress when the run ended, which have no answer.
    """

    answers: list[Answer] = field(default_factory=list)
    num_given_up: int = 0

    def add(self, answer: Answer) -> None:
        """Adds an answer; may be called from any thread."""
        self.answers.append(answer)

    def of(self, endpoint: str) -> Tally:
        """Returns the answers of one endpoint."""
        return Tally([answer for answer in self.answers if answer.endpoint == endpoint])

    @property
    def endpoints(self) -> list[str]:
        """Returns all endpoints, in alphabetical order."""
        return sorted({answer.endpoint for answer in self.answers})

    @property
    def num_ok(self) -> int:
        """Number of requests answered."""
        return sum(answer.is_ok for answer in self.answers)

    @property
    def error_share(self) -> float:
        """Share of requests that were neither answered nor refused."""
        wrong = sum(not answer.is_ok and not answer.is_refused for answer in self.answers)
        return wrong / len(self.answers) if self.answers else 0.0

    @property
    def candidates(self) -> int:
        """Number of candidates ranked."""
        return sum(answer.candidates for answer in self.answers)

    @property
    def queries(self) -> int:
        """Number of queries ranked."""
        return sum(answer.queries for answer in self.answers)

    @property
    def quantiles(self) -> Quantiles:
        """Percentiles of the times of answered requests."""
        return Quantiles.of(answer.seconds for answer in self.answers if answer.is_ok)

    @property
    def refusal_quantiles(self) -> Quantiles:
        """Percentiles of the times of refused requests."""
        return Quantiles.of(answer.seconds for answer in self.answers if answer.is_refused)

    @property
    def statuses(self) -> dict[str, int]:
        """Number of answers with each status."""
        counted = Counter(answer.status for answer in self.answers)
        return {str(status) if status else "no answer": counted[status] for status in sorted(counted)}

    @property
    def elapsed(self) -> float:
        """Seconds from the start of the first request to the end of the last."""
        if not self.answers:
            return 0.0
        began = min(answer.ended - answer.seconds for answer in self.answers)
        return max(answer.ended for answer in self.answers) - began
