"""From a request for sampled trajectories to its candidates, and from their shares to the answer."""

from __future__ import annotations

from collections.abc import Sequence

from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate
from proofrank.core.prover.sampling import SampledShare
from proofrank.service.errors import InvalidInput
from proofrank.service.ranking.to_queries import Limits, NameReader, knows_names, too_many
from proofrank.service.ranking.to_response import identity_of
from proofrank.service.threads import FEW_CANDIDATES
from proofrank.service.wire import (
    SampledTriple,
    SampleRequest,
    SampleResponse,
    SampleTriple,
    Timing,
)


def check_num_trajectories(request: SampleRequest, limits: Limits) -> None:
    """Refuses more trajectories than a request may ask for. Raises InvalidInput."""
    if len(request.triples) * request.samples > limits.max_candidates:
        what = f"trajectories in one request, that is {max(1, limits.max_candidates // len(request.triples))} of each"
        raise InvalidInput([too_many("samples", request.samples, limits.max_candidates, what)])


def is_small(request: SampleRequest, dataset: Dataset) -> bool:
    """Whether reading the names of a request takes less than some milliseconds; not so where some are unknown."""
    return len(request.triples) <= FEW_CANDIDATES and knows_names(request.triples, dataset)


def to_candidates(request: SampleRequest, dataset: Dataset) -> list[Candidate]:
    """The candidates of a request. A triple of the facts is the positive of its query, so it is no fact in its proof.

    Raises:
        InvalidInput: with the field, the value and the nearest known names.
    """
    names = NameReader(dataset)
    triples = [names.triple(triple, f"triples[{index}]") for index, triple in enumerate(request.triples)]
    names.check()
    return [Candidate(triple, is_positive=tuple(triple) in dataset.facts) for triple in triples]


def to_sample_response(
    request: SampleRequest,
    shares: Sequence[SampledShare],
    dataset: Dataset,
    policy: Policy,
    *,
    engine: str,
    request_id: str,
    timing: Timing,
) -> SampleResponse:
    """The answer of the share of each triple."""
    return SampleResponse(
        request_id=request_id,
        dataset=identity_of(dataset),
        policy=identity_of(policy),
        engine=engine,
        seed=request.seed,
        confidence=request.confidence,
        timing=timing,
        triples=tuple(_sampled(request.triples, shares, request.confidence)),
    )


def _sampled(
    triples: Sequence[SampleTriple], shares: Sequence[SampledShare], confidence: float
) -> list[SampledTriple]:
    found: list[SampledTriple] = []
    for triple, share in zip(triples, shares, strict=True):
        low, high = share.interval(confidence)
        found.append(
            SampledTriple(
                head=triple.head,
                relation=triple.relation,
                tail=triple.tail,
                samples=share.num_samples,
                proved=share.num_proved,
                share=share.share,
                low=low,
                high=high,
            )
        )
    return found
