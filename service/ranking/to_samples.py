"""From a request for sampled trajectories to its candidates, and from their shares to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proofrank.core.graph import Dataset, Triple
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate
from proofrank.core.prover.sampling import SampledShare
from proofrank.service.errors import InvalidInput
from proofrank.service.ranking.to_queries import Limits, NameReader, too_many
from proofrank.service.ranking.to_response import identity_of
from proofrank.service.threads import FEW_CANDIDATES
from proofrank.service.wire import (
    SampledTriple,
    SampleRequest,
    SampleResponse,
    SampleTriple,
    Timing,
)


def check_num_triples(body: Any, limits: Limits) -> None:
    """Refuses too many triples while they are mere JSON, as ``check_num_queries`` does with queries.

    Raises:
        InvalidInput: with the limit.
    """
    triples = body.get("triples") if isinstance(body, dict) else None
    if not isinstance(triples, list) or len(triples) <= limits.max_queries:
        return
    if all(isinstance(triple, dict) for triple in triples):
        raise InvalidInput([too_many("triples", len(triples), limits.max_queries, "triples in one request")])


def check_num_trajectories(request: SampleRequest, limits: Limits) -> None:
    """Refuses more trajectories than a request may ask for. Raises InvalidInput."""
    if len(request.triples) * request.samples > limits.max_candidates:
        what = f"trajectories in one request, that is {max(1, limits.max_candidates // len(request.triples))} of each"
        raise InvalidInput([too_many("samples", request.samples, limits.max_candidates, what)])


def is_small(request: SampleRequest, dataset: Dataset) -> bool:
    """Whether reading the names of a request takes less than some milliseconds; not so where some are unknown."""
    names = dataset.vocabulary
    return len(request.triples) <= FEW_CANDIDATES and all(
        names.has_predicate(triple.relation)
        and names.has_constant(triple.head)
        and names.has_constant(triple.tail)
        for triple in request.triples
    )


def to_candidates(request: SampleRequest, dataset: Dataset) -> list[Candidate]:
    """The candidates of a request. A triple of the facts is the positive of its query, so it is no fact in its proof.

    Raises:
        InvalidInput: with the field, the value and the nearest known names.
    """
    names = NameReader(dataset)
    triples = [_read(triple, f"triples[{index}]", names) for index, triple in enumerate(request.triples)]
    names.check()
    return [Candidate(triple, is_positive=tuple(triple) in dataset.facts) for triple in triples]


def _read(triple: SampleTriple, field: str, names: NameReader) -> Triple:
    return Triple(
        names.predicate(triple.relation, f"{field}.relation"),
        names.constant(triple.head, f"{field}.head"),
        names.constant(triple.tail, f"{field}.tail"),
    )


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
