"""What ``POST /rank`` and jobs answer with ``mrr_tolerance``: where metrics and ranks lie; ``docs/pruning.md``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.dataclasses import dataclass
from pydantic_core import CoreSchema, core_schema

from proofrank.service.wire.described import described
from proofrank.service.wire.rank_answer import (
    SENT_IN_FULL,
    Head,
    Identity,
    Pruning,
    RankedByProtocol,
    Relation,
    Scoring,
    Tail,
    Timing,
)
from proofrank.service.wire.rank_request import BeamScore

_BY_NAME = ConfigDict(populate_by_name=True)


class Interval(NamedTuple):
    """The lowest and the highest value that a number can have; a list of the two in JSON."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """What is at most half of the width off."""
        return (self.low + self.high) / 2

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """That of a pair: as a named tuple it would have a schema of its own in the OpenAPI document."""
        pair = handler.generate_schema(tuple[float, float])
        return core_schema.no_info_after_validator_function(lambda ends: cls(*ends), pair)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """That of a list, for generators of clients know no tuples."""
        return {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}


@dataclass(frozen=True, config=_BY_NAME)
class IntervalMetrics:
    """Metrics that lie in intervals for certain. A metric that is not known is null."""

    mrr: Annotated[float | None, described("Mean reciprocal rank.", None)]
    hits_at_1: Annotated[
        float | None, Field(alias="hits@1", description="Share of ranks that are 1.", examples=[0.6])
    ]
    hits_at_3: Annotated[
        float | None, Field(alias="hits@3", description="Share of ranks of 3 or less.", examples=[None])
    ]
    hits_at_10: Annotated[
        float | None, Field(alias="hits@10", description="Share of ranks of 10 or less.", examples=[None])
    ]
    mean_rank: Annotated[float | None, described("Mean of the ranks.", None)]
    adjusted_mean_rank_index: Annotated[
        float | None, described("Adjusted mean rank index: 0 is chance, 1 is perfect.", None)
    ]
    positives_proved: Annotated[float | None, described("Share of positives that were proved.", 0.85)]
    corruptions_proved: Annotated[float | None, described("Share of corruptions that were proved.", None)]
    intervals: Annotated[
        dict[str, Interval | None],
        described(
            "Lowest and highest value of each metric, by its name, with Hits@k for each k of the request's `hits_at`. "
            "The value of a whole evaluation lies between them. Null where the metric is not defined.",
            {"mrr": [0.7093, 0.7112], "hits@1": [0.6, 0.6]},
        ),
    ]
    rankings: Annotated[int, described("Number of rankings; a query ranked on both sides has two.", 48)]
    queries: Annotated[int, described("Number of queries.", 24)]
    candidates: Annotated[int, described("Number of candidates, including the positives.", 2448)]
    open: Annotated[int, described("Number of candidates that may still move a rank.", 310)]
    open_rankings: Annotated[int, described("Number of rankings with such candidates.", 9)]
    seconds: Annotated[float, described("Time of the evaluation, in seconds.", 0.2)]

    @property
    def mrr_ends(self) -> Interval:
        """The lowest and the highest value of the MRR, which is always defined."""
        found = self.intervals["mrr"]
        assert found is not None
        return found

    @property
    def by_name(self) -> dict[str, Interval | None]:
        """The intervals by the names of the metrics."""
        return self.intervals

    @property
    def hits_at(self) -> dict[int, float | None]:
        """Hits@k by k."""
        return {1: self.hits_at_1, 3: self.hits_at_3, 10: self.hits_at_10}


@dataclass(frozen=True, config=_BY_NAME)
class IntervalReport(IntervalMetrics):
    """Intervals overall, per side and per relation."""

    by_side: Annotated[dict[str, IntervalMetrics], described("Metrics of each side: `head`, `tail`.")]
    by_relation: Annotated[
        dict[str, IntervalMetrics], described("Metrics of each relation that a query has, by its name.")
    ]

    @property
    def overall(self) -> IntervalMetrics:
        """Those over all rankings, which the report itself has too."""
        return self

    @property
    def by_depth(self) -> dict[str, IntervalMetrics]:
        """None: a server does not report depths."""
        return {}


@dataclass(frozen=True)
class RankInterval:
    """Where the rank of a query on one side lies."""

    side: Annotated[Literal["head", "tail"], described("Side whose constant was replaced.", "tail")]
    rank_low: Annotated[float, described("Lowest rank that the positive can have.", 2.0)]
    rank_high: Annotated[float, described("Highest rank that the positive can have.", 5.0)]
    proved: Annotated[
        bool | None, described("Whether the policy proved the positive; null if it has not tried.", True)
    ]
    open: Annotated[int, described("Number of corruptions that may still move the rank.", 3)]
    num_candidates: Annotated[int, described("Number of candidates, including the positive.", 51)]

    @property
    def rank(self) -> float | None:
        """The rank, if it is known; else None."""
        return self.rank_low if self.rank_low == self.rank_high else None


@dataclass(frozen=True)
class IntervalQueryResult:
    """A query, and where its ranks lie."""

    head: Head
    relation: Relation
    tail: Tail
    rankings: Annotated[
        tuple[RankInterval, ...], described("Intervals of the query's ranks, one for each side.")
    ]


@dataclass(frozen=True)
class PruningToTolerance(Pruning):
    """How many candidates took which way; the three and the open ones together are all candidates."""

    mrr_tolerance: Annotated[float, described("Tolerance that the request asked for.", 0.001)]
    open: Annotated[int, described("Number of candidates that may still move a rank.", 310)]


@dataclass(frozen=True, config=SENT_IN_FULL)
class IntervalRankResponse:
    """The answer to ``POST /rank`` with ``mrr_tolerance``."""

    request_id: Annotated[
        str, described("Id of the request, as in the header `X-Request-ID` and the server's log.", "9f2c41d0")
    ]
    dataset: Annotated[Identity, described("Dataset whose constants and triples were used.")]
    policy: Annotated[
        Identity, described("Policy that ranked: the one that was live when the request began.")
    ]
    engine: Annotated[str, described("Engine that computed the ranks.", "eager")]
    metrics: Annotated[IntervalReport, described("Intervals of the metrics over all rankings.")]
    timing: Annotated[Timing, described("Times of the request.")]
    queries: Annotated[
        tuple[IntervalQueryResult, ...],
        described("Queries, and where their ranks lie, in the order of the request."),
    ]
    pruning: Annotated[PruningToTolerance, described("What was left out, and what was left open.")]
    beam: Annotated[int, described("Maximum number of trajectories that a candidate had.", 8)] = 1
    beam_score: Annotated[BeamScore, described("How several proofs made a score.", "logsumexp")] = "max"
    scoring: Annotated[
        Scoring | None, described("What the scores are; missing from an older server: those of proofs.")
    ] = None
    protocol: RankedByProtocol = None
