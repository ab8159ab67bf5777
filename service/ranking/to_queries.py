"""From a request for ranks to queries by index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from proofrank.core.errors import RankingError, UnknownNameError
from proofrank.core.graph import Dataset, Triple
from proofrank.core.protocols import draws_of
from proofrank.core.prover.beams import Beam
from proofrank.core.ranking import SIDES, Query, Side, sides_of
from proofrank.service.errors import InvalidInput
from proofrank.service.threads import FEW_CANDIDATES
from proofrank.service.wire import (
    MAX_ERRORS,
    BeamOptions,
    FieldError,
    ProtocolOptions,
    RankQuery,
    RankRequest,
    TripleNames,
    shortened,
)

_MAX_NEAREST = 10
"""Errors that come with the nearest names: finding those takes time in a large vocabulary."""


@dataclass(frozen=True)
class Limits:
    """What a request may ask for, at most."""

    max_queries: int
    max_candidates: int
    max_proofs: int
    max_beam: int = 1


def check_number(body: Any, field: str, limits: Limits) -> None:
    """Refuses too many queries or triples while they are mere JSON, for validating a million takes seconds.

    Args:
        body: of the request.
        field: that has them: ``queries`` or ``triples``.
        limits: has their maximum.

    Raises:
        InvalidInput: with the limit.
    """
    given = body.get(field) if isinstance(body, dict) else None
    if not isinstance(given, list) or len(given) <= limits.max_queries:
        return
    # What is no query at all is for the validation, which ends at the first.
    if all(isinstance(one, dict) for one in given):
        raise InvalidInput([_too_many_in_request(field, len(given), limits)])


def asks_little(request: RankRequest, dataset: Dataset) -> bool:
    """Whether making the queries of a request and wording its answer take less than some milliseconds.

    Not so with many candidates, with names that are unknown, for which the nearest are sought, or with proofs.
    """
    if request.return_proof or request.corruptions == "all":
        return False
    if any(query.candidates is not None for query in request.queries):
        return False
    if len(request.queries) * len(SIDES) * (1 + request.corruptions) > FEW_CANDIDATES:
        return False
    return knows_names(request.queries, dataset)


def knows_names(triples: Iterable[TripleNames], dataset: Dataset) -> bool:
    """Whether the graph has all names of ``triples``."""
    names = dataset.vocabulary
    return all(
        names.has_predicate(triple.relation)
        and names.has_constant(triple.head)
        and names.has_constant(triple.tail)
        for triple in triples
    )


def to_queries(request: RankRequest, dataset: Dataset, limits: Limits) -> list[Query]:
    """The queries of a request, by index, with their corruptions.

    Raises:
        InvalidInput: with the field, the value and the nearest known names.
    """
    if len(request.queries) > limits.max_queries:
        raise InvalidInput([_too_many_in_request("queries", len(request.queries), limits)])
    check_beam(request, limits.max_beam)
    if request.return_proof and len(request.queries) * request.beam_width > limits.max_proofs:
        raise InvalidInput(
            [too_many("queries", len(request.queries), limits.max_proofs, "queries that ask for proofs")]
        )
    _check_own_candidates(request, limits)
    names = NameReader(dataset)
    triples = [names.triple(query, f"queries[{index}]") for index, query in enumerate(request.queries)]
    chosen = [
        None
        if query.candidates is None
        else own_candidates(query.candidates, f"queries[{index}].candidates", names)
        for index, query in enumerate(request.queries)
    ]
    sides = [_sides(query, index, request, names.errors) for index, query in enumerate(request.queries)]
    names.check()
    check_protocol(request)
    try:
        return _drawn(request, dataset, triples, chosen, sides, limits)
    except RankingError as error:
        raise refusal_of_protocol(request, error) from error


def refusal_of_protocol(request: ProtocolOptions, error: RankingError) -> InvalidInput:
    """What the answer says of queries that the protocol or the source of candidates cannot rank."""
    name = "protocol" if request.protocol is not None else "candidates_from"
    return InvalidInput([FieldError(field=name, value=getattr(request, name), message=str(error))])


def check_protocol(request: RankRequest) -> None:
    """Refuses a protocol without the candidates that it needs, and candidates that it would not rank.

    Raises:
        InvalidInput: with the field.
    """
    if request.protocol is None:
        return
    needs = request.ranking_rules.has_fixed_negatives
    numbers = [None if query.candidates is None else len(query.candidates) for query in request.queries]
    wrong = [index for index, number in enumerate(numbers) if (number is not None) != needs]
    if wrong:
        verb = "needs the negatives of each query as its" if needs else "has no part for a query's own"
        message = f"protocol {request.protocol!r} {verb} candidates"
        raise InvalidInput([FieldError(field=f"queries[{wrong[0]}].candidates", value=None, message=message)])
    if request.protocol == "ogb" and len(set(numbers)) > 1:
        message = "protocol 'ogb' ranks each query among as many negatives"
        raise InvalidInput([FieldError(field="queries", value=len(numbers), message=message)])


def _drawn(
    request: RankRequest,
    dataset: Dataset,
    triples: list[Triple],
    chosen: list[np.ndarray | None],
    sides: list[tuple[Side, ...]],
    limits: Limits,
) -> list[Query]:
    """The queries with their corruptions. Raises RankingError where a relation has no candidates."""
    corruptor = draws_of(request.ranking_rules, dataset, request.seed, triples, sides)
    queries: list[Query] = []
    num_candidates = 0
    for index, triple in enumerate(triples):
        for side in sides[index]:
            own = chosen[index]
            constants, keys = (
                corruptor.drawn(index, triple, side)
                if own is None
                else (corruptor.among(triple, side, own), None)
            )
            num_candidates += 1 + len(constants)
            if num_candidates > limits.max_candidates:
                message = "candidates in one request; ask for fewer queries or corruptions"
                raise InvalidInput(
                    [too_many("corruptions", request.corruptions, limits.max_candidates, message)]
                )
            queries.append(Query(index, triple, side, constants, keys))
    return queries


def check_beam(request: BeamOptions, most: int) -> None:
    """Refuses more than ``most`` trajectories of a candidate. Raises InvalidInput."""
    if request.beam_width > most:
        message = f"too many: at most {most} trajectories of a candidate (max_beam)"
        raise InvalidInput([FieldError(field="beam", value=request.beam_width, message=message)])


def beam_of(request: BeamOptions) -> Beam | None:
    """The beam of a request; None where a candidate has one trajectory."""
    return Beam(request.beam_width, request.score_of_beam) if request.beam_width > 1 else None


def least_candidates(request: RankRequest, limits: Limits) -> int:
    """How many candidates a request has at least, before any is drawn or filtered; the limit of one above it."""
    least = sum(max(1, len(query.candidates or ())) for query in request.queries)
    return min(least, limits.max_candidates)


def _check_own_candidates(request: RankRequest, limits: Limits) -> None:
    """Refuses too many candidates of the caller's own before any is looked up."""
    num_candidates = 0
    for index, query in enumerate(request.queries):
        num_candidates += len(query.candidates or ())
        if num_candidates > limits.max_candidates:
            field = f"queries[{index}].candidates"
            raise InvalidInput(
                [
                    too_many(
                        field, len(query.candidates or ()), limits.max_candidates, "candidates in one request"
                    )
                ]
            )


def _too_many_in_request(field: str, number: int, limits: Limits) -> FieldError:
    return too_many(field, number, limits.max_queries, f"{field} in one request")


def too_many(field: str, value: int | str, most: int, what: str) -> FieldError:
    """What is wrong with a field that asks for too much of ``what``."""
    return FieldError(field=field, value=value, message=f"too many: at most {most} {what}")


def _sides(query: RankQuery, index: int, request: RankRequest, errors: list[FieldError]) -> tuple[Side, ...]:
    option = query.side or request.side
    if query.candidates is not None and option == "both":
        message = (
            "with candidates of its own a query needs side 'head' or 'tail', for they replace one constant"
        )
        errors.append(FieldError(field=f"queries[{index}].side", value=option, message=message))
    return sides_of(option)


def own_candidates(given: list[str], field: str, names: NameReader) -> np.ndarray:
    """The constants ``[n]`` int64 of a caller's own candidates; what is wrong with them is added to ``names``.

    Args:
        given: their names.
        field: of the request, for errors.
        names: looks them up.
    """
    constants: dict[int, None] = {}
    for position, name in enumerate(given):
        where = f"{field}[{position}]"
        constant = names.constant(name, where)
        if constant in constants and constant:
            names.errors.append(
                FieldError(field=where, value=name, message="a candidate for the second time")
            )
        constants[constant] = None
    return np.fromiter(constants, dtype=np.int64, count=len(constants))


class NameReader:
    """Looks names up and gathers what is wrong with them: of much, as much as an answer shows, and the number.

    An unknown name reads as padding (0).
    """

    def __init__(self, dataset: Dataset) -> None:
        self.errors: list[FieldError] = []
        self._num_unknown = 0
        self._unknown: dict[str, set[str]] = {"constant": set(), "predicate": set()}
        self._dataset = dataset
        self._vocabulary = dataset.vocabulary

    def triple(self, query: TripleNames, field: str) -> Triple:
        """The triple of its names."""
        return Triple(
            self.predicate(query.relation, f"{field}.relation"),
            self.constant(query.head, f"{field}.head"),
            self.constant(query.tail, f"{field}.tail"),
        )

    def constant(self, name: str, field: str) -> int:
        """The index of a constant."""
        return self._read(name, field, "constant")

    def predicate(self, name: str, field: str) -> int:
        """The index of a predicate."""
        return self._read(name, field, "predicate")

    def check(self) -> None:
        """Raises InvalidInput where something is wrong, with the number of all that is."""
        if not self.errors:
            return
        num_others = sum(not error.message.startswith("unknown ") for error in self.errors)
        summary = ""
        if self._num_unknown > 1:
            constants, predicates = (len(self._unknown[kind]) for kind in ("constant", "predicate"))
            summary = (
                f"; {self._num_unknown} names are unknown to dataset {self._dataset.name!r}, "
                f"{constants} different constants and {predicates} different relations"
            )
        raise InvalidInput(self.errors, max(self._num_unknown + num_others, len(self.errors)), summary)

    def _read(self, name: str, field: str, kind: str) -> int:
        is_known = self._vocabulary.has_constant if kind == "constant" else self._vocabulary.has_predicate
        if not is_known(name):
            self._num_unknown += 1
            self._unknown[kind].add(name)
            if len(self.errors) >= MAX_ERRORS:
                return 0
            if len(self.errors) >= _MAX_NEAREST:
                self.errors.append(FieldError(field=field, value=shortened(name), message=f"unknown {kind}"))
                return 0
        try:
            if kind == "constant":
                return self._vocabulary.constant_index(name)
            return self._vocabulary.predicate_index(name)
        except UnknownNameError as error:
            message = f"unknown {kind} of dataset {self._dataset.name!r}"
            self.errors.append(
                FieldError(field=field, value=shortened(name), message=message, nearest=tuple(error.nearest))
            )
            return 0
