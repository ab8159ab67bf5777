"""The signatures of operations whose answer depends on an argument, for type checkers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypedDict, TypeVar, Unpack, overload

from proofrank.service.client.requests import CandidatesFrom, QueryLike
from proofrank.service.wire import (
    BeamScore,
    Identity,
    Job,
    PruningLevel,
    ScoringKind,
    SideOption,
    StoredPolicy,
    Ties,
)

Exact = TypeVar("Exact", covariant=True)
"""The answer with exact ranks."""

Intervals = TypeVar("Intervals", covariant=True)
"""The answer with intervals."""


class RankingArguments(TypedDict, total=False):
    """How to rank; ``operations.rank`` says what each means."""

    side: SideOption
    corruptions: int | Literal["all"]
    filtered: bool
    seed: int
    ties: Ties
    pruning: PruningLevel | None
    protocol: str | None
    candidates_from: CandidatesFrom | None
    beam: int | None
    beam_score: BeamScore | None
    hits_at: Sequence[int] | None
    scoring: ScoringKind | None
    hybrid: Mapping[str, Any] | None


class EvaluationArguments(RankingArguments, total=False):
    """What to rank as a job, and how; ``operations.submit`` and ``operations.wait`` say what each means."""

    policy: str | StoredPolicy | Identity | None
    limit: int | None
    idempotency_key: str | None
    progress: bool
    on_progress: Callable[[Job], None] | None
    proofs_of: Sequence[tuple[str, str, str]]


class Rank(Protocol[Exact, Intervals]):
    """``operations.rank``."""

    @overload
    def __call__(
        self,
        queries: Sequence[QueryLike],
        *,
        mrr_tolerance: None = None,
        return_candidates: bool = False,
        return_proof: bool = False,
        deadline_ms: int | None = None,
        **options: Unpack[RankingArguments],
    ) -> Exact: ...

    @overload
    def __call__(
        self,
        queries: Sequence[QueryLike],
        *,
        mrr_tolerance: float,
        deadline_ms: int | None = None,
        **options: Unpack[RankingArguments],
    ) -> Intervals: ...

    @overload
    def __call__(
        self,
        queries: Sequence[QueryLike],
        *,
        mrr_tolerance: float | None,
        return_candidates: bool = False,
        return_proof: bool = False,
        deadline_ms: int | None = None,
        **options: Unpack[RankingArguments],
    ) -> Exact | Intervals: ...


class Evaluate(Protocol[Exact, Intervals]):
    """``operations.evaluate``."""

    @overload
    def __call__(
        self,
        triples: str | Sequence[QueryLike] = "test",
        *,
        mrr_tolerance: None = None,
        **options: Unpack[EvaluationArguments],
    ) -> Exact: ...

    @overload
    def __call__(
        self,
        triples: str | Sequence[QueryLike] = "test",
        *,
        mrr_tolerance: float,
        **options: Unpack[EvaluationArguments],
    ) -> Intervals: ...

    @overload
    def __call__(
        self,
        triples: str | Sequence[QueryLike] = "test",
        *,
        mrr_tolerance: float | None,
        **options: Unpack[EvaluationArguments],
    ) -> Exact | Intervals: ...
