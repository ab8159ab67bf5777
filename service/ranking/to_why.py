"""From a request for the reasons of a rank to its query, and from the reasons to the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from proofrank.core.errors import RankingError
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.beams import BeamReferenceEvaluator
from proofrank.core.graph import Dataset, Triple
from proofrank.core.policy import Policy
from proofrank.core.protocols import check_protocol_of_one, draws_of
from proofrank.core.ranking import Corruptor, Query, RankedQuery, Scoring, no_corruption, reasons_of
from proofrank.rank_reasons import named_candidate
from proofrank.service import wire
from proofrank.service.errors import InvalidInput
from proofrank.service.ranking.to_queries import (
    Limits,
    NameReader,
    beam_of,
    check_beam,
    own_candidates,
    refusal_of_protocol,
    too_many,
)
from proofrank.service.ranking.to_response import identity_of, positive_fields, to_scoring
from proofrank.service.wire import FieldError, WhyRequest, answer_from_python, shortened


def to_query(request: WhyRequest, dataset: Dataset, limits: Limits) -> tuple[Query, list[int]]:
    """The query of a request, and the constants to explain besides.

    Raises:
        InvalidInput: with the field, the value and the nearest known names.
    """
    check_beam(request, limits.max_beam)
    check_rules(request)
    num_proofs = (1 + request.first + len(request.also)) * request.beam_width
    if num_proofs > limits.max_proofs:
        what = "proofs in one answer, the triple's own and those of also included, each as often as the beam is wide"
        raise InvalidInput([too_many("first", request.first, limits.max_proofs, what)])
    own = request.candidates
    if own is not None and len(own) > limits.max_candidates:  # before any is looked up
        what = "candidates in one request"
        raise InvalidInput([too_many("candidates", len(own), limits.max_candidates, what)])
    names = NameReader(dataset)
    triple = Triple(
        names.predicate(request.relation, "relation"),
        names.constant(request.head, "head"),
        names.constant(request.tail, "tail"),
    )
    also = [names.constant(name, f"also[{index}]") for index, name in enumerate(request.also)]
    chosen = None if own is None else own_candidates(own, "candidates", names)
    names.check()
    try:
        corruptor = draws_of(request.ranking_rules, dataset, request.seed, [triple], [(request.side,)])
        return _query(request, triple, also, corruptor, chosen, limits), also
    except RankingError as error:
        raise refusal_of_protocol(request, error) from error


def check_rules(request: WhyRequest) -> None:
    """Refuses a protocol that ranks one triple otherwise than an evaluation, or without its negatives.

    Raises:
        InvalidInput: with the field.
    """
    rules, protocol = request.ranking_rules, request.protocol
    if protocol is None:
        return
    try:
        check_protocol_of_one(rules)
    except RankingError as error:
        raise refusal_of_protocol(request, error) from error
    if rules.has_fixed_negatives != (request.candidates is not None):
        verb = "needs the negatives as" if rules.has_fixed_negatives else "has no part for"
        message = f"protocol {protocol!r} {verb} candidates"
        raise InvalidInput([FieldError(field="candidates", value=None, message=message)])


def _query(
    request: WhyRequest,
    triple: Triple,
    also: Sequence[int],
    corruptor: Corruptor,
    chosen: np.ndarray | None,
    limits: Limits,
) -> Query:
    """The query, whose candidates are ``chosen`` ``[n]`` int64, or drawn where that is None.

    Raises:
        InvalidInput: they are too many, or one of ``also`` is none of them.
        RankingError: the relation has no candidates.
    """
    if chosen is None and 1 + corruptor.count(triple, request.side) > limits.max_candidates:
        what = "candidates in one request; ask for fewer corruptions"
        raise InvalidInput([too_many("corruptions", request.corruptions, limits.max_candidates, what)])
    constants = (
        corruptor.constants(triple, request.side)
        if chosen is None
        else corruptor.among(triple, request.side, chosen)
    )
    if 1 + len(constants) > limits.max_candidates:
        what = "candidates in one request, the triple itself included"
        raise InvalidInput([too_many("candidates", len(constants), limits.max_candidates, what)])
    query = Query(0, triple, request.side, constants)
    wrong = [
        FieldError(
            field=f"also[{index}]",
            value=shortened(name),
            message=no_corruption(query, is_own=chosen is not None),
        )
        for index, (name, constant) in enumerate(zip(request.also, also, strict=True))
        if constant not in query.constants
    ]
    if wrong:
        raise InvalidInput(wrong)
    return query


def to_explanation(
    request: WhyRequest,
    ranked: RankedQuery,
    also: list[int],
    reference: ReferenceEvaluator,
    dataset: Dataset,
    policy: Policy,
    *,
    engine: str,
    request_id: str,
    scoring: Scoring | None = None,
) -> wire.RankExplanation:
    """The answer; walks the trajectories that are explained with ``reference``, which shares no state.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
    """
    beam = beam_of(request)
    reasons = reasons_of(
        ranked,
        reference if beam is None else BeamReferenceEvaluator(reference, beam),
        reference,
        first=request.first,
        alternatives=request.alternatives,
        also=also,
        beam=beam,
        scoring=scoring,
    )
    return answer_from_python(
        wire.RankExplanation,
        {
            "request_id": request_id,
            "dataset": identity_of(dataset),
            "policy": identity_of(policy),
            "engine": engine,
            "ranking": wire.RankedPositive(**positive_fields(ranked, request.ties)),
            "num_higher": reasons.num_higher,
            "num_tied": reasons.num_tied,
            "positive": dataclasses.asdict(named_candidate(reasons.positive, dataset)),
            "ahead": [dataclasses.asdict(named_candidate(one, dataset)) for one in reasons.ahead],
            "also": [dataclasses.asdict(named_candidate(one, dataset)) for one in reasons.also],
            "beam": request.beam_width,
            "beam_score": request.score_of_beam,
            "scoring": to_scoring(scoring),
            "protocol": request.protocol,
        },
    )
