"""What ``POST /sample`` takes and answers: sampled trajectories of triples; ``docs/api.md`` defines each field."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from proofrank.core.choices import MOST_SAMPLES
from proofrank.service.wire.described import described
from proofrank.service.wire.rank_answer import Head, Identity, Relation, Tail, Timing
from proofrank.service.wire.rank_request import RequestPart, TripleNames


class SampleTriple(TripleNames):
    """A triple whose trajectories are drawn."""


class SampleRequest(RequestPart):
    """Triples, and how many trajectories of each are drawn."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "triples": [{"head": "albania", "relation": "locatedInCR", "tail": "europe"}],
                    "samples": 1000,
                }
            ]
        },
    )

    # As of RankRequest: what is wrong with each of a million would take a minute to say.
    triples: list[SampleTriple] = Field(
        min_length=1, fail_fast=True, description="Triples whose trajectories are drawn."
    )
    samples: int = Field(
        100,
        ge=1,
        le=MOST_SAMPLES,
        description="Number of trajectories of each triple; times `triples`, at most `max_candidates` of the server.",
        examples=[1000],
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of all draws.", examples=[0])
    confidence: float = Field(
        0.95,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="Share of intervals such as `low` to `high` that hold the probability of a proof.",
        examples=[0.95],
    )
    deadline_ms: int | None = Field(
        None,
        ge=1,
        description="Milliseconds after which the answer is 504; at most, and by default, the server's maximum.",
        examples=[60000],
    )


@dataclass(frozen=True)
class SampledTriple:
    """How many of a triple's sampled trajectories are proofs."""

    head: Head
    relation: Relation
    tail: Tail
    samples: Annotated[int, described("Number of trajectories.", 1000)]
    proved: Annotated[int, described("Number of those that are proofs.", 254)]
    share: Annotated[float, described("Share of proofs among them.", 0.254)]
    low: Annotated[float, described("Lower end of the Wilson interval of the probability of a proof.", 0.228)]
    high: Annotated[float, described("Upper end of that interval.", 0.282)]


@dataclass(frozen=True)
class SampleResponse:
    """The answer to ``POST /sample``."""

    request_id: Annotated[
        str, described("Id of the request, as in the header `X-Request-ID` and the server's log.", "9f2c41d0")
    ]
    dataset: Annotated[Identity, described("Dataset whose facts and rules were used.")]
    policy: Annotated[Identity, described("Policy that drew: the one that was live when the request began.")]
    engine: Annotated[str, described("Engine that drew the trajectories.", "eager")]
    seed: Annotated[int, described("Seed of all draws.", 0)]
    confidence: Annotated[float, described("Share of such intervals that hold the probability.", 0.95)]
    timing: Annotated[Timing, described("Times of the request.")]
    triples: Annotated[tuple[SampledTriple, ...], described("The triples, in the order of the request.")]
