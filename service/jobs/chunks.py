"""The queries of a stored job, one chunk at a time.

A query's corruptions and the order of its ties depend only on the query and the seed
(``proofrank.core.ranking.corruptions.query_seed``), so a job may be cut into chunks anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset, Triple
from proofrank.core.protocols import draws_of
from proofrank.core.ranking import LazyQueries, Query, sample_triples, sides_of
from proofrank.service.jobs.job import JobError
from proofrank.service.wire import JobOptions, NamedTriple

QUERIES = TypeAdapter(list[NamedTriple])


class JobChunks(LazyQueries):
    """The queries of a job."""

    @classmethod
    def of(cls, options: JobOptions, queries_json: str | None, dataset: Dataset) -> JobChunks:
        """Makes the queries of a job from its options and the client's queries, if any, on the job's dataset.

        Raises:
            JobError: its protocol does not rank such queries.
        """
        if queries_json is None:
            assert options.split is not None
            triples = split_triples(dataset, options.split, options.limit, options.seed)
            sides = [sides_of(options.side)] * len(triples)
        else:
            queries = QUERIES.validate_json(queries_json)
            triples = [dataset.triple(query.head, query.relation, query.tail) for query in queries]
            sides = [sides_of(query.side or options.side) for query in queries]
        try:
            corruptor = draws_of(options.ranking_rules, dataset, options.seed, triples, sides)
        except RankingError as error:
            raise JobError(str(error)) from error
        return cls(triples, sides, corruptor)

    def count_candidates(self, most: int) -> int:
        """Returns the number of candidates of all queries.

        Raises:
            JobError: one query has more than ``most``, or none can be drawn for it.
        """
        total = 0
        for index in range(len(self.triples)):
            try:
                num = self.num_candidates(index)
            except RankingError as error:
                raise JobError(f"query {index}: {error}") from error
            if num > most:
                raise JobError(
                    f"query {index} has {num} candidates, and max_candidates is {most}; ask for fewer corruptions"
                )
            total += num
        return total

    def chunk(self, start: int, num_candidates: int) -> list[Query]:
        """Returns whole queries from ``start`` on: at most ``num_candidates`` candidates, but at least one query."""
        queries: list[Query] = []
        room = num_candidates
        for index in range(start, len(self.triples)):
            room -= self.num_candidates(index)
            if room < 0 and queries:
                break
            queries.extend(self.queries(index))
        return queries


def split_triples(dataset: Dataset, split: str, limit: int | None, seed: int) -> Sequence[Triple]:
    """Returns the triples of a split that a job ranks."""
    triples = dataset.splits[split]
    return triples if limit is None else sample_triples(triples, limit, seed)
