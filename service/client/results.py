"""What the service answers, typed: frozen dataclasses with the fields of its JSON.

``docs/api.md`` defines each field; a test compares them with what the service declares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from proofrank.service.client.dataframes import frame, ranking_row
from proofrank.service.client.from_json import named

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Identity:
    """Which dataset or policy it was: its name, and the SHA-256 of its content."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Metrics:
    """Aggregate metrics of rankings; ``docs/api.md`` defines each."""

    mrr: float
    hits_at_1: float = field(metadata=named("hits@1"))
    hits_at_3: float = field(metadata=named("hits@3"))
    hits_at_10: float = field(metadata=named("hits@10"))
    mean_rank: float
    adjusted_mean_rank_index: float | None
    positives_proved: float
    corruptions_proved: float | None
    rankings: int
    queries: int
    candidates: int
    seconds: float

    @property
    def hits_at(self) -> dict[int, float]:
        """Hits@k by k."""
        return {1: self.hits_at_1, 3: self.hits_at_3, 10: self.hits_at_10}


@dataclass(frozen=True)
class Report(Metrics):
    """Metrics overall, by side and by relation."""

    by_side: dict[str, Metrics]
    by_relation: dict[str, Metrics]

    @property
    def overall(self) -> Metrics:
        """Those over all rankings, which the report itself has too."""
        return self


@dataclass(frozen=True)
class Ranks:
    """The four ranks of a positive; they differ where scores are equal."""

    optimistic: float
    realistic: float
    pessimistic: float
    random: float


@dataclass(frozen=True)
class CandidateScore:
    """One candidate and what came of it; the score is the log-probability, less 100 if it was not proved."""

    head: str
    relation: str
    tail: str
    score: float
    proved: bool
    steps: int


@dataclass(frozen=True)
class RuleOfStep:
    """A rule of the dataset, with its weight or confidence in the file, which is no part of scores."""

    name: str
    weight: float


@dataclass(frozen=True)
class ProofStep:
    """One step: the goals before it, and those that the policy chose among ``num_actions`` states.

    ``rule`` resolved the goal; None for a fact or an end.
    """

    state: tuple[str, ...]
    num_actions: int
    chosen: tuple[str, ...]
    log_probability: float
    rule: RuleOfStep | None = None


@dataclass(frozen=True)
class Proof:
    """The trajectory of a positive: a tree to read, and the steps of the policy."""

    text: str
    steps: tuple[ProofStep, ...]


@dataclass(frozen=True)
class Ranking:
    """One query on one side."""

    side: str
    rank: float
    reciprocal_rank: float
    ranks: Ranks
    score: float
    log_probability: float
    proved: bool
    steps: int
    num_candidates: int
    candidates: tuple[CandidateScore, ...] | None = None
    proof: Proof | None = None


@dataclass(frozen=True)
class QueryResult:
    """One query and its rankings, one a side."""

    head: str
    relation: str
    tail: str
    rankings: tuple[Ranking, ...]


@dataclass(frozen=True)
class Timing:
    """Seconds that a request waited, and that its evaluation took."""

    queue_seconds: float
    first_result_seconds: float
    execution_seconds: float


@dataclass(frozen=True)
class RankResult:
    """The answer to ``rank``; ``queries`` are in the order of the request."""

    request_id: str
    dataset: Identity
    policy: Identity
    engine: str
    metrics: Report
    timing: Timing
    queries: tuple[QueryResult, ...]

    def to_frame(self) -> pandas.DataFrame:
        """A row for each ranking.

        Raises:
            MissingLibraryError: pandas is not installed.
        """
        return frame(
            ranking_row(index, query, ranking)
            for index, query in enumerate(self.queries)
            for ranking in query.rankings
        )


@dataclass(frozen=True)
class StoredPolicy:
    """A policy that the service holds; ``created`` is when it got this name."""

    name: str
    sha256: str
    active: bool
    bytes: int
    created: datetime


@dataclass(frozen=True)
class PolicyList:
    """The policies that the service holds, and the name of the active one."""

    active: str
    policies: tuple[StoredPolicy, ...]


@dataclass(frozen=True)
class Readiness:
    """Whether requests are taken, and what is going on if not."""

    ready: bool
    stage: str
    seconds: float


@dataclass(frozen=True)
class Info:
    """What is being served."""

    version: str
    dataset: dict[str, Any]
    policy: dict[str, Any]
    prover: dict[str, Any]
    engine: str
    device: str
    torch: str
    limits: dict[str, int]
    startup_seconds: dict[str, float]
