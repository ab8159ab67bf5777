"""From a request with ``mrr_tolerance`` to its queries, and from what is known of their ranks to the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset, Triple
from proofrank.core.policy import Policy
from proofrank.core.protocols import check_tolerance_of, draws_of
from proofrank.core.ranking import (
    LazyQueries,
    PruningCounts,
    Refinement,
    interval_report,
    parts_of,
    sides_of,
)
from proofrank.service import wire
from proofrank.service.errors import InvalidInput
from proofrank.service.ranking.to_queries import (
    Limits,
    NameReader,
    check_beam,
    check_protocol,
    refusal_of_protocol,
    too_many,
)
from proofrank.service.ranking.to_response import identity_of, to_scoring
from proofrank.service.wire import RankRequest, answer_from_python


def to_work(request: RankRequest, dataset: Dataset, limits: Limits) -> LazyQueries:
    """The queries of a request by index; no corruption is drawn yet.

    Raises:
        InvalidInput: with the field, the value and the nearest known names.
    """
    if len(request.queries) > limits.max_queries:
        raise InvalidInput(
            [too_many("queries", len(request.queries), limits.max_queries, "queries in one request")]
        )
    check_beam(request, limits.max_beam)
    names = NameReader(dataset)
    triples = [names.triple(query, f"queries[{index}]") for index, query in enumerate(request.queries)]
    names.check()
    check_protocol(request)
    try:
        return _drawn(request, dataset, triples, limits)
    except RankingError as error:
        raise refusal_of_protocol(request, error) from error


def _drawn(request: RankRequest, dataset: Dataset, triples: list[Triple], limits: Limits) -> LazyQueries:
    """The queries by index. Raises RankingError where the protocol or the source of candidates has none."""
    rules = request.ranking_rules
    check_tolerance_of(rules)
    sides = [sides_of(query.side or request.side) for query in request.queries]
    work = LazyQueries(triples, sides, draws_of(rules, dataset, request.seed, triples, sides))
    num_candidates = 0
    for index in range(len(triples)):
        num_candidates += work.num_candidates(index)
        if num_candidates > limits.max_candidates:
            what = "candidates in one request; ask for fewer queries or corruptions"
            raise InvalidInput([too_many("corruptions", request.corruptions, limits.max_candidates, what)])
    return work


def to_interval_report(
    refinement: Refinement, dataset: Dataset, hits_at: Sequence[int]
) -> wire.IntervalReport:
    """The intervals of the metrics, with Hits@k for each of ``hits_at``, overall, per side and per relation."""
    so_far = refinement.so_far()
    parts = parts_of(refinement.rankings, dataset, None, so_far.query_index)
    report = interval_report(so_far, parts, refinement.seconds, hits_at)
    return answer_from_python(wire.IntervalReport, report.to_dict())


def to_pruning(
    request: RankRequest, counts: PruningCounts, tolerance: float, num_open: int
) -> wire.PruningToTolerance:
    """What was left out, and left open, as the answer has it."""
    return wire.PruningToTolerance(
        level=request.pruning_level,
        **dataclasses.asdict(counts),
        mrr_tolerance=tolerance,
        open=num_open,
        note=request.pruning_note,
    )


def to_response(
    request: RankRequest,
    refinement: Refinement,
    dataset: Dataset,
    policy: Policy,
    *,
    engine: str,
    request_id: str,
    timing: wire.Timing,
) -> wire.IntervalRankResponse:
    """The answer to a request whose MRR is certain enough."""
    assert request.mrr_tolerance is not None
    metrics = to_interval_report(refinement, dataset, request.counted_hits_at)
    rankings: list[list[wire.RankInterval]] = [[] for _ in request.queries]
    for index, ranking in rank_intervals(refinement):
        rankings[index].append(ranking)
    return wire.IntervalRankResponse(
        request_id=request_id,
        dataset=identity_of(dataset),
        policy=identity_of(policy),
        engine=engine,
        metrics=metrics,
        timing=timing,
        queries=tuple(
            wire.IntervalQueryResult(query.head, query.relation, query.tail, tuple(sides))
            for query, sides in zip(request.queries, rankings, strict=True)
        ),
        pruning=to_pruning(request, refinement.counts, request.mrr_tolerance, metrics.open),
        beam=request.beam_width,
        beam_score=request.score_of_beam,
        scoring=to_scoring(refinement.scoring),
        protocol=request.protocol,
    )


def rank_intervals(refinement: Refinement) -> Iterator[tuple[int, wire.RankInterval]]:
    """The place of each ranking's query, and where its rank lies, in order."""
    so_far = refinement.so_far()
    columns = (
        *(so_far.query_index, so_far.low, so_far.high, so_far.is_positive_known, so_far.is_proved),
        *(so_far.num_open, so_far.num_corruptions),
    )
    for (_, side), index, low, high, is_known, is_proved, num_open, num_corruptions in zip(
        refinement.rankings, *(column.tolist() for column in columns), strict=True
    ):
        proved = is_proved if is_known else None
        yield index, wire.RankInterval(side, low, high, proved, num_open, num_corruptions + 1)
