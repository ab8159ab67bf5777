"""What became of requests: times by endpoint, candidates, and answers by status; percentiles of the times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

OK = 200
REFUSED = (429, 503)
"""Statuses by which the server says to come back later: it is full, not ready, or stopping."""

NO_ANSWER = 0
"""In the place of a status where the connection failed."""


@dataclass(frozen=True)
class Answer:
    """One request and what came of it.

    Attributes:
        endpoint: who asked for what, in words.
        status: of the answer, or ``NO_ANSWER``.
        seconds: from when the request was due to the end of its answer.
        ended: when that was, by ``time.perf_counter()``.
        candidates: ranked for it.
        queries: ranked for it; a triple ranked on both sides is one.
        mrr: of the answer, if it was one of ranks.
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
        """Whether it was done."""
        return self.status // 100 == OK // 100

    @property
    def is_refused(self) -> bool:
        """Whether the server said to come back later."""
        return self.status in REFUSED


@dataclass(frozen=True)
class Quantiles:
    """Percentiles of times, in seconds; not a number where there are none."""

    p50: float
    p95: float
    p99: float

    @staticmethod
    def of(seconds: Iterable[float]) -> Quantiles:
        """Those of ``seconds``: the smallest values that so many percent do not exceed."""
        ordered = sorted(seconds)
        return Quantiles(*(_nearest_rank(ordered, percent) for percent in (50, 95, 99)))


def _nearest_rank(ordered: Sequence[float], percent: int) -> float:
    if not ordered:
        return math.nan
    return ordered[math.ceil(percent * len(ordered) / 100) - 1]


@dataclass
class Tally:
    """Gathers answers.

    Attributes:
        answers: those that there are.
        num_given_up: requests that were on their way when the run ended, and are no answers.
    """

    answers: list[Answer] = field(default_factory=list)
    num_given_up: int = 0

    def add(self, answer: Answer) -> None:
        """Takes one more; from any thread."""
        self.answers.append(answer)

    def of(self, endpoint: str) -> Tally:
        """The answers of one endpoint."""
        return Tally([answer for answer in self.answers if answer.endpoint == endpoint])

    @property
    def endpoints(self) -> list[str]:
        """All endpoints, in alphabetical order."""
        return sorted({answer.endpoint for answer in self.answers})

    @property
    def num_ok(self) -> int:
        """How many were done."""
        return sum(answer.is_ok for answer in self.answers)

    @property
    def error_share(self) -> float:
        """Share of requests that were neither done nor refused."""
        wrong = sum(not answer.is_ok and not answer.is_refused for answer in self.answers)
        return wrong / len(self.answers) if self.answers else 0.0

    @property
    def candidates(self) -> int:
        """How many candidates were ranked."""
        return sum(answer.candidates for answer in self.answers)

    @property
    def queries(self) -> int:
        """How many queries were ranked."""
        return sum(answer.queries for answer in self.answers)

    @property
    def quantiles(self) -> Quantiles:
        """Of the times of what was done."""
        return Quantiles.of(answer.seconds for answer in self.answers if answer.is_ok)

    @property
    def refusal_quantiles(self) -> Quantiles:
        """Of the times of what was refused."""
        return Quantiles.of(answer.seconds for answer in self.answers if answer.is_refused)

    @property
    def statuses(self) -> dict[str, int]:
        """How many answers of each status."""
        counted = Counter(answer.status for answer in self.answers)
        return {str(status) if status else "no answer": counted[status] for status in sorted(counted)}

    @property
    def elapsed(self) -> float:
        """Seconds from the first request's beginning to the last one's end."""
        if not self.answers:
            return 0.0
        began = min(answer.ended - answer.seconds for answer in self.answers)
        return max(answer.ended for answer in self.answers) - began
