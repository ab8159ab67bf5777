"""The signatures of operations whose answer depends on an argument, for type checkers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypedDict, TypeVar, Unpack, overload

from proofrank.service.client.requests import CandidatesFrom, QueryLike
from proofrank.service.wire import PruningLevel, SideOption, Ties

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
        hits_at: Sequence[int] | None = None,
        **options: Unpack[RankingArguments],
    ) -> Exact: ...

    @overload
    def __call__(
        self,
        queries: Sequence[QueryLike],
        *,
        mrr_tolerance: float,
        deadline_ms: int | None = None,
        hits_at: Sequence[int] | None = None,
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
        hits_at: Sequence[int] | None = None,
        **options: Unpack[RankingArguments],
    ) -> Exact | Intervals: ...
