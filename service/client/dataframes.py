"""Rows as a pandas DataFrame, where pandas is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from proofrank.service.client.errors import MissingLibraryError
from proofrank.service.wire import RankInterval

if TYPE_CHECKING:
    import pandas


class NamedTriple(Protocol):
    """A triple by its names."""

    @property
    def head(self) -> str:
        """Name of its first constant."""
        ...

    @property
    def relation(self) -> str:
        """Name of its predicate."""
        ...

    @property
    def tail(self) -> str:
        """Name of its second constant."""
        ...


class Ranked(Protocol):
    """A triple's ranking on one side, under the field names of the service's answers."""

    @property
    def side(self) -> str: ...
    @property
    def rank(self) -> float: ...
    @property
    def reciprocal_rank(self) -> float: ...
    @property
    def ranks(self) -> Any: ...
    @property
    def score(self) -> float: ...
    @property
    def log_probability(self) -> float: ...
    @property
    def proved(self) -> bool: ...
    @property
    def steps(self) -> int: ...
    @property
    def num_candidates(self) -> int: ...
    @property
    def embedding_score(self) -> float | None: ...


def ranking_row(index: int, triple: NamedTriple, ranking: Ranked) -> dict[str, Any]:
    """The row of a ranking, under the names that the tables of the service have."""
    return {
        "query_index": index,
        "head": triple.head,
        "relation": triple.relation,
        "tail": triple.tail,
        "side": ranking.side,
        "rank": ranking.rank,
        "reciprocal_rank": ranking.reciprocal_rank,
        "rank_optimistic": ranking.ranks.optimistic,
        "rank_realistic": ranking.ranks.realistic,
        "rank_pessimistic": ranking.ranks.pessimistic,
        "rank_random": ranking.ranks.random,
        "score": ranking.score,
        "log_probability": ranking.log_probability,
        "proved": ranking.proved,
        "steps": ranking.steps,
        "num_candidates": ranking.num_candidates,
        "embedding_score": ranking.embedding_score,
    }


def interval_row(index: int, triple: NamedTriple, ranking: RankInterval) -> dict[str, Any]:
    """The row of a ranking whose rank lies in an interval, under the names that the tables of the service have."""
    return {
        "query_index": index,
        "head": triple.head,
        "relation": triple.relation,
        "tail": triple.tail,
        "side": ranking.side,
        "rank_low": ranking.rank_low,
        "rank_high": ranking.rank_high,
        "proved": ranking.proved,
        "open": ranking.open,
        "num_candidates": ranking.num_candidates,
    }


def frame(rows: Iterable[Mapping[str, Any]]) -> pandas.DataFrame:
    """A DataFrame of ``rows``, which all have the same keys.

    Raises:
        MissingLibraryError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingLibraryError("to_frame() needs pandas: pip install 'proofrank[frames]'") from error
    return pandas.DataFrame.from_records(list(rows))
