"""What ``POST /rank`` answers; ``docs/api.md`` defines each field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Which dataset or policy it was."""

    name: str
    sha256: Annotated[str, Field(description="of its content")]


# With slots: an answer may hold a million of them, and this halves their memory and the time to read them.
@dataclass(frozen=True, slots=True)
class CandidateScore:
    """One candidate and what came of it."""

    head: str
    relation: str
    tail: str
    score: Annotated[float, Field(description="log-probability, less 100 if not proved")]
    proved: bool
    steps: int


@dataclass(frozen=True)
class Rule:
    """A rule of the dataset."""

    name: Annotated[str, Field(description="name in the file, or rule and the number of its line")]
    weight: Annotated[
        float, Field(description="weight or confidence in the file, 1 without one; no part of scores")
    ]


@dataclass(frozen=True)
class ProofStep:
    """One step: the goals, and the state that the policy chose."""

    state: Annotated[
        tuple[str, ...], Field(description="goals before the step, the first of which is resolved")
    ]
    num_actions: Annotated[int, Field(description="how many states could be chosen")]
    chosen: Annotated[tuple[str, ...], Field(description="goals after it; True, False or Endf at an end")]
    log_probability: float
    rule: Annotated[
        Rule | None, Field(description="rule that resolved the goal; null for a fact or an end")
    ] = None


@dataclass(frozen=True)
class Proof:
    """The trajectory of a positive."""

    text: Annotated[str, Field(description="the proof as a tree, a goal a line")]
    steps: Annotated[tuple[ProofStep, ...], Field(description="the steps of the policy")]


@dataclass(frozen=True, slots=True)
class Ranks:
    """The four ranks of a positive; they differ where scores are equal."""

    optimistic: float
    realistic: float
    pessimistic: float
    random: float


@dataclass(frozen=True)
class RankedPositive:
    """The ranks of a query on one side, and what came of its positive."""

    side: Literal["head", "tail"]
    rank: Annotated[float, Field(description="under the ties that were asked for")]
    reciprocal_rank: float
    ranks: Ranks
    score: Annotated[float, Field(description="of the positive: log-probability, less 100 if not proved")]
    log_probability: float
    proved: bool
    steps: int
    num_candidates: Annotated[int, Field(description="ranked, the positive included")]


@dataclass(frozen=True)
class Ranking(RankedPositive):
    """One query on one side."""

    candidates: Annotated[
        tuple[CandidateScore, ...] | None, Field(description="the positive first, if asked for")
    ] = None
    proof: Annotated[Proof | None, Field(description="of the positive, if asked for")] = None


@dataclass(frozen=True)
class QueryResult:
    """One query and its rankings."""

    head: str
    relation: str
    tail: str
    rankings: tuple[Ranking, ...]


@dataclass(frozen=True, config=ConfigDict(populate_by_name=True))
class Metrics:
    """Aggregate metrics; ``docs/api.md`` defines each."""

    mrr: float
    hits_at_1: Annotated[float, Field(alias="hits@1")]
    hits_at_3: Annotated[float, Field(alias="hits@3")]
    hits_at_10: Annotated[float, Field(alias="hits@10")]
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


@dataclass(frozen=True, config=ConfigDict(populate_by_name=True))
class Report(Metrics):
    """Metrics overall, per side and per relation."""

    by_side: dict[str, Metrics]
    by_relation: dict[str, Metrics]

    @property
    def overall(self) -> Metrics:
        """Those over all rankings, which the report itself has too."""
        return self


@dataclass(frozen=True)
class Timing:
    """Where the time went."""

    queue_seconds: Annotated[float, Field(description="from acceptance to the start of the evaluation")]
    first_result_seconds: Annotated[
        float, Field(description="from acceptance to the first candidate that was done")
    ]
    execution_seconds: Annotated[float, Field(description="from the start of the evaluation to its end")]


@dataclass(frozen=True)
class RankResponse:
    """The answer to ``POST /rank``."""

    request_id: str
    dataset: Identity
    policy: Identity
    engine: str
    metrics: Report
    timing: Timing
    queries: Annotated[tuple[QueryResult, ...], Field(description="in the order of the request")]
