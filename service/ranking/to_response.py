"""From ranked queries to the answer: as a model where it is small, as pieces of its JSON where it is large.

A large answer, put together and turned into JSON as a whole, would hold up all threads for seconds, and take several
times the memory of its text. Made piece by piece, none of which takes longer than some milliseconds, it is the same
text.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from proofrank.core.choices import HITS_AT, PruningLevel
from proofrank.core.evaluator import ReferenceEvaluator, explain, render_proof
from proofrank.core.evaluator.replay import atom_text, state_names
from proofrank.core.graph import Dataset, Triple
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, State
from proofrank.core.prover.beam_reference import BeamReferenceProver
from proofrank.core.prover.beams import Beam
from proofrank.core.ranking import (
    HybridWeights,
    PruningCounts,
    RankedQuery,
    Report,
    Scoring,
    replaced_constant,
)
from proofrank.service import wire
from proofrank.service.ranking.json_names import JsonNames
from proofrank.service.wire import RankQuery, RankRequest, RankResponse, answer_from_python, answer_to_json

_CANDIDATES_IN_PIECE = 1000
"""Some milliseconds of work."""

_LEAST_BYTES_TO_SEND = 256 * 1024
"""At once: sending a byte costs nothing beside the call."""

ProofMaker = Callable[[RankedQuery], wire.Proof]
ProofsMaker = Callable[[RankedQuery], tuple[wire.Proof, ...]]


@dataclass(frozen=True)
class ResponseBuilder:
    """What it takes to put ranked queries into words.

    Attributes:
        request: that they answer.
        dataset: has the names.
        make_proof: gives the proof of a query's positive; None where no proofs are wanted.
        names: the same names as JSON.
        make_proofs: gives all proofs of a query's positive, the best first; None where they are not wanted.
    """

    request: RankRequest
    dataset: Dataset
    make_proof: ProofMaker | None
    names: JsonNames
    make_proofs: ProofsMaker | None = None


def proof_maker(reference: ReferenceEvaluator, dataset: Dataset) -> ProofMaker:
    """A function that gives the proof of a ranked query's positive."""

    def make(ranked: RankedQuery) -> wire.Proof:
        return _proof(reference, dataset, ranked.query, ranked.outcomes[0].actions)

    return make


def proofs_maker(reference: ReferenceEvaluator, dataset: Dataset, beam: Beam) -> ProofsMaker:
    """A function that gives all proofs of a ranked query's positive in a beam, the best first."""
    prover = BeamReferenceProver(reference.prover)

    def make(ranked: RankedQuery) -> tuple[wire.Proof, ...]:
        found = prover.prove(Candidate(ranked.query, is_positive=True), reference.scorer, beam)
        return tuple(_proof(reference, dataset, ranked.query, proof.actions) for proof in found.proofs)

    return make


def _proof(
    reference: ReferenceEvaluator, dataset: Dataset, triple: Triple, actions: Sequence[int]
) -> wire.Proof:
    """The trajectory of a positive along ``actions``."""
    positive = Candidate(triple, is_positive=True)
    explanation = explain(reference.prover, reference.scorer, positive, actions)
    steps = [
        wire.ProofStep(
            state=_atom_texts(step.state, dataset),
            num_actions=len(step.actions),
            chosen=_atom_texts(step.actions[step.chosen], dataset),
            log_probability=step.log_probability,
            rule=wire.Rule(name=rule.name, weight=rule.weight) if rule is not None else None,
        )
        for step, rule in zip(explanation.trace, explanation.rules, strict=True)
    ]
    return wire.Proof(text=render_proof(explanation, dataset), steps=tuple(steps))


def _atom_texts(state: State, dataset: Dataset) -> tuple[str, ...]:
    return tuple(atom_text(atom) for atom in state_names(state, dataset))


def identity_of(named: Dataset | Policy) -> wire.Identity:
    """Which dataset or policy it is."""
    return wire.Identity(named.name, named.content_hash)


def to_pruning(level: PruningLevel, counts: PruningCounts, note: str | None = None) -> wire.Pruning:
    """What was left out, as the answer has it, with a note on what was asked for, if that needs one."""
    return wire.Pruning(level=level, **dataclasses.asdict(counts), note=note)


def to_scoring(scoring: Scoring | None) -> wire.Scoring:
    """What the scores are, as the answer has it."""
    if scoring is None:
        return wire.Scoring("proof")
    embedding = wire.Identity(scoring.source.name, scoring.source.content_hash)
    if scoring.kind == "embedding":
        return wire.Scoring("embedding", embedding)
    of_relations = {name: to_weights(own) for name, own in scoring.hybrid.by_relation.items()}
    overall = to_weights(scoring.hybrid.overall)
    return wire.Scoring("hybrid", embedding, overall, of_relations, scoring.weights_from, scoring.warning)


def to_weights(weights: HybridWeights | wire.RelationWeights) -> wire.Weights:
    """Weights of hybrid scores, as the answer has them."""
    return wire.Weights(weights.weight, weights.bonus, weights.penalty)


def to_report(report: Report, hits_at: Sequence[int] | None = None) -> wire.Report:
    """The metrics of the answer, with the Hits@k that were asked for."""
    return answer_from_python(wire.Report, report_fields(report, hits_at))


def report_fields(report: Report, hits_at: Sequence[int] | None) -> dict[str, Any]:
    """The fields of :func:`to_report` under their names in JSON."""
    fields = report.to_dict()
    return fields if hits_at is None else _with_hits_at(fields, hits_at)


def _with_hits_at(fields: dict[str, Any], hits_at: Sequence[int]) -> dict[str, Any]:
    """``fields`` and those of its parts, in which the Hits@k of ``hits_at`` stand by k."""
    asked = {k: fields[f"hits@{k}"] for k in sorted(hits_at)}
    known = {f"hits@{k}" for k in asked if k not in HITS_AT}
    return {
        **{name: value for name, value in fields.items() if name not in known},
        **{
            part: {name: _with_hits_at(metrics, hits_at) for name, metrics in fields[part].items()}
            for part in ("by_side", "by_relation")
            if part in fields
        },
        "hits_at": asked,
    }


def with_results(
    answer: RankResponse, ranked: Sequence[RankedQuery], builder: ResponseBuilder
) -> RankResponse:
    """``answer`` with the results of its queries, in the order of the request."""
    results = [
        _result(query, tuple(_ranking(query, side, builder, _scores(side, builder)) for side in sides))
        for query, sides in _by_query(ranked, builder)
    ]
    return replace(answer, queries=tuple(results))


def json_pieces(
    answer: RankResponse, ranked: Sequence[RankedQuery], builder: ResponseBuilder
) -> Iterator[bytes]:
    """The JSON of what :func:`with_results` gives, in pieces.

    Args:
        answer: has no queries yet.
        ranked: the queries.
        builder: puts them into words.
    """
    pieces = (_query_pieces(query, sides, builder) for query, sides in _by_query(ranked, builder))
    return _filled(answer, "queries", pieces)


def to_send(pieces: Iterable[bytes]) -> StreamingResponse:
    """An answer of all ``pieces`` of JSON; each goes as the client takes it."""
    parts: deque[bytes] = deque()
    pending = bytearray()
    for piece in pieces:
        pending += piece
        if len(pending) >= _LEAST_BYTES_TO_SEND:
            parts.append(bytes(pending))
            pending.clear()
    parts.append(bytes(pending))
    length = sum(len(part) for part in parts)

    async def taken() -> AsyncIterator[bytes]:
        while parts:
            yield parts.popleft()

    return StreamingResponse(taken(), headers={"Content-Length": str(length)}, media_type="application/json")


def _by_query(
    ranked: Sequence[RankedQuery], builder: ResponseBuilder
) -> Iterator[tuple[RankQuery, list[RankedQuery]]]:
    """The queries of the request, each with its rankings."""
    sides: list[list[RankedQuery]] = [[] for _ in builder.request.queries]
    for query in ranked:
        sides[query.query_index].append(query)
    return zip(builder.request.queries, sides, strict=True)


def _query_pieces(
    query: RankQuery, sides: Sequence[RankedQuery], builder: ResponseBuilder
) -> Iterator[bytes]:
    return _filled(_result(query, ()), "rankings", (_ranking_pieces(query, side, builder) for side in sides))


def _ranking_pieces(query: RankQuery, ranked: RankedQuery, builder: ResponseBuilder) -> Iterator[bytes]:
    if not builder.request.return_candidates:
        return iter([answer_to_json(_ranking(query, ranked, builder, None))])
    constants = np.append(replaced_constant(ranked.query, ranked.side), ranked.constants)
    pieces = (
        [_scores_json(ranked, constants, slice(start, start + _CANDIDATES_IN_PIECE), builder.names)]
        for start in range(0, len(constants), _CANDIDATES_IN_PIECE)
    )
    return _filled(_ranking(query, ranked, builder, ()), "candidates", pieces)


def _scores_json(ranked: RankedQuery, constants: np.ndarray, part: slice, names: JsonNames) -> bytes:
    """The JSON of the :class:`CandidateScore` of each candidate in ``part``, one after the other.

    Args:
        ranked: the query.
        constants: what its candidates have on its side, ``[C]``.
        part: of the candidates.
        names: of the dataset.
    """
    head, tail = names.constants([ranked.query.head, ranked.query.tail])
    relation = names.predicate(ranked.query.predicate)
    if ranked.side == "head":
        before, after = '{"head":', f',"relation":{relation},"tail":{tail},"score":'
    else:
        before, after = f'{{"head":{head},"relation":{relation},"tail":', ',"score":'
    outcomes = ranked.outcomes[part]
    # Of each column its values as JSON, after the key.
    columns: list[Sequence[Any]] = [
        names.constants(constants[part].tolist()),
        _numbers_json(ranked.candidate_scores[part]),
        outcomes.success.tolist(),
        outcomes.steps.tolist(),
    ]
    keys = ""
    for name, column in _parts(ranked).items():
        keys += f',"{name}":%s'
        columns.append(_numbers_json(column[part]))
    return ",".join(
        [
            f'{before}{name}{after}{score},"proved":{"true" if proved else "false"},"steps":{steps}'
            f"{keys % tuple(parts) if parts else ''}}}"
            for name, score, proved, steps, *parts in zip(*columns, strict=True)
        ]
    ).encode()


def _numbers_json(column: np.ndarray) -> list[str]:
    """The numbers of a column ``[C]`` as a model writes them, which is not always as Python does: 1e-7, not 1e-07."""
    return to_json(column.tolist())[1:-1].decode().split(",")


def _parts(ranked: RankedQuery) -> dict[str, np.ndarray]:
    """The parts of the candidates' scores, ``[C]`` float64 each, by field; none for scores of proofs alone."""
    parts: dict[str, np.ndarray] = {}
    if ranked.embedding_part is not None:
        parts["log_probability"] = ranked.outcomes.log_probability
    if ranked.embedding is not None:
        parts["embedding_score"] = ranked.embedding
    if ranked.embedding_part is not None:
        parts["embedding_part"] = ranked.embedding_part
    return parts


def _filled(answer: Any, field: str, items: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """The JSON of ``answer``, in whose list ``field``, which is empty, stand ``items``, each in pieces."""
    # Inside a text JSON has no bare quotation mark, so this can be nothing but the field.
    key = f'"{field}":['.encode()
    before, _, after = answer_to_json(answer).partition(key + b"]")
    yield before + key
    for index, pieces in enumerate(items):
        if index:
            yield b","
        yield from pieces
    yield b"]" + after


def _result(query: RankQuery, rankings: tuple[wire.Ranking, ...]) -> wire.QueryResult:
    return wire.QueryResult(head=query.head, relation=query.relation, tail=query.tail, rankings=rankings)


def _ranking(
    query: RankQuery,
    ranked: RankedQuery,
    builder: ResponseBuilder,
    scores: tuple[wire.CandidateScore, ...] | None,
) -> wire.Ranking:
    return wire.Ranking(
        **positive_fields(ranked, builder.request.ties),
        num_filtered=_num_filtered(query, ranked),
        candidates=scores,
        proof=builder.make_proof(ranked) if builder.make_proof is not None else None,
        proofs=builder.make_proofs(ranked) if builder.make_proofs is not None else None,
        embedding_score=None if ranked.embedding is None else float(ranked.embedding[0]),
        embedding_part=None if ranked.embedding_part is None else float(ranked.embedding_part[0]),
    )


def positive_fields(ranked: RankedQuery, ties: wire.Ties) -> dict[str, Any]:
    """What an answer says of the positive of a ranking, by field; ``ties`` says which rank counts."""
    ranks, positive = ranked.ranks, ranked.outcomes[0]
    rank = ranks.by(ties)
    return {
        "side": ranked.side,
        "rank": rank,
        "reciprocal_rank": 1 / rank,
        "ranks": wire.Ranks(
            optimistic=ranks.optimistic,
            realistic=ranks.realistic,
            pessimistic=ranks.pessimistic,
            random=ranks.random,
        ),
        "score": ranked.positive_score,
        "log_probability": positive.log_probability,
        "proved": positive.success,
        "steps": positive.steps,
        "num_candidates": ranks.num_candidates,
    }


def _num_filtered(query: RankQuery, ranked: RankedQuery) -> int | None:
    """The number of the query's own candidates that were left out as known triples; None where it has none."""
    if query.candidates is None:
        return None
    # No name is among them twice, and the query's own is no corruption.
    own_name = query.head if ranked.side == "head" else query.tail
    return len(query.candidates) - (own_name in query.candidates) - len(ranked.constants)


def _scores(ranked: RankedQuery, builder: ResponseBuilder) -> tuple[wire.CandidateScore, ...] | None:
    """Those of all candidates, where the request asks for them."""
    if not builder.request.return_candidates:
        return None
    columns = {
        "score": ranked.candidate_scores,
        "proved": ranked.outcomes.success,
        "steps": ranked.outcomes.steps,
        **_parts(ranked),
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return tuple(
        wire.CandidateScore(head=head, relation=relation, tail=tail, **dict(zip(columns, row, strict=True)))
        for (head, relation, tail), row in zip(
            map(builder.dataset.names, ranked.candidates), rows, strict=True
        )
    )
