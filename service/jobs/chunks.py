"""From a stored job to the queries that it ranks, a chunk at a time.

Which corruptions a query has, and how its ties are ordered, depends on the query and the seed alone
(``proofrank.core.ranking.corruptions.query_seed``): so the chunks may be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from proofrank.core.graph import Dataset, Triple
from proofrank.core.ranking import Corruptor, LazyQueries, Query, sample_triples, sides_of
from proofrank.service.jobs.job import JobError
from proofrank.service.wire import JobOptions, NamedTriple

QUERIES = TypeAdapter(list[NamedTriple])


class JobChunks(LazyQueries):
    """The queries of a job."""

    @classmethod
    def of(cls, options: JobOptions, queries_json: str | None, dataset: Dataset) -> JobChunks:
        """The queries of a job with these options, and perhaps queries, on the dataset that it was submitted for."""
        number = None if options.corruptions == "all" else options.corruptions
        corruptor = Corruptor(dataset, number=number, is_filtered=options.filtered, seed=options.seed)
        if queries_json is None:
            assert options.split is not None
            triples = split_triples(dataset, options.split, options.limit, options.seed)
            return cls(triples, [sides_of(options.side)] * len(triples), corruptor)
        queries = QUERIES.validate_json(queries_json)
        return cls(
            [dataset.triple(query.head, query.relation, query.tail) for query in queries],
            [sides_of(query.side or options.side) for query in queries],
            corruptor,
        )

    def count_candidates(self, most: int) -> int:
        """How many candidates all queries have.

        Raises:
            JobError: one query has more than ``most``.
        """
        total = 0
        for index in range(len(self.triples)):
            num = self.num_candidates(index)
            if num > most:
                raise JobError(
                    f"query {index} has {num} candidates, and max_candidates is {most}; ask for fewer corruptions"
                )
            total += num
        return total

    def chunk(self, start: int, num_candidates: int) -> list[Query]:
        """Whole queries from ``start`` on: as many as have ``num_candidates`` at most, but one at least."""
        queries: list[Query] = []
        room = num_candidates
        for index in range(start, len(self.triples)):
            room -= self.num_candidates(index)
            if room < 0 and queries:
                break
            queries.extend(self.queries(index))
        return queries


def split_triples(dataset: Dataset, split: str, limit: int | None, seed: int) -> Sequence[Triple]:
    """The triples of a split that a job ranks."""
    triples = dataset.splits[split]
    return triples if limit is None else sample_triples(triples, limit, seed)
