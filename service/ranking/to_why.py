"""From a request for the reasons of a rank to its query, and from the reasons to the answer."""

from __future__ import annotations

import dataclasses

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset, Triple
from proofrank.core.policy import Policy
from proofrank.core.ranking import Corruptor, Query, RankedQuery, no_corruption, reasons_of
from proofrank.rank_reasons import named_candidate
from proofrank.service import wire
from proofrank.service.errors import InvalidInput
from proofrank.service.ranking.to_queries import Limits, NameReader, own_candidates, too_many
from proofrank.service.ranking.to_response import identity_of, positive_fields
from proofrank.service.wire import FieldError, WhyRequest, answer_from_python, shortened


def to_query(request: WhyRequest, dataset: Dataset, limits: Limits) -> tuple[Query, list[int]]:
    """The query of a request, and the constants to explain besides.

    Raises:
        InvalidInput: with the field, the value and the nearest known names.
    """
    num_proofs = 1 + request.first + len(request.also)
    if num_proofs > limits.max_proofs:
        what = "proofs in one answer, the triple's own and those of also included"
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
    number = None if request.corruptions == "all" else request.corruptions
    corruptor = Corruptor(dataset, number=number, is_filtered=request.filtered, seed=request.seed)
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
    what = (
        no_corruption(query)
        if chosen is None
        else f"which is none of the {len(constants)} candidates that are ranked"
    )
    wrong = [
        FieldError(field=f"also[{index}]", value=shortened(name), message=what)
        for index, (name, constant) in enumerate(zip(request.also, also, strict=True))
        if constant not in query.constants
    ]
    if wrong:
        raise InvalidInput(wrong)
    return query, also


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
) -> wire.RankExplanation:
    """The answer; walks the trajectories that are explained with ``reference``, which shares no state.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
    """
    reasons = reasons_of(
        ranked, reference, reference, first=request.first, alternatives=request.alternatives, also=also
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
        },
    )
