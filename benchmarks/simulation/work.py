"""The time of queries: measurements of a sample of them, and draws from it.

A query's work is seconds of one worker. It is measured on a sample of the query's candidates, as processor seconds per
candidate, and extended to all of them: candidates are independent, so work is linear in their number. But a small
sample leaves lanes idle at its end, which raises the cost of cheap candidates more than that of expensive ones.
Therefore some queries are measured whole, and what their candidates then cost less is subtracted from all queries, by
interpolation.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


class WorkError(ValueError):
    """A file of measurements is unusable; the message names the file, the field and what would be right."""


@dataclass(frozen=True)
class QueryWork:
    """The work of one query.

    Attributes:
        relation: relation of the query.
        side: ``head`` or ``tail``, the side that is corrupted.
        num_candidates: number of candidates evaluated.
        num_all_candidates: number of candidates against all entities.
        steps: steps of all evaluated candidates together.
        states_scored: states that the network scored.
        processor_seconds: processor seconds of the evaluation, on one thread.
    """

    relation: str
    side: str
    num_candidates: int
    num_all_candidates: int
    steps: int
    states_scored: int
    processor_seconds: float

    @property
    def seconds_per_candidate(self) -> float:
        """Processor seconds of one candidate."""
        return self.processor_seconds / self.num_candidates


@dataclass(frozen=True)
class MeasuredWork:
    """A measurement of the work of queries.

    Attributes:
        num_queries: number of queries (triples on sides) in the whole split.
        queries: the sample of them, each measured on a sample of its candidates; the two sides of a triple are
            adjacent.
        whole: those of ``queries`` at the places of ``evenly_spread``, measured again on all their candidates.
    """

    num_queries: int
    queries: tuple[QueryWork, ...]
    whole: tuple[QueryWork, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON."""
        return asdict(self)

    @property
    def num_triples(self) -> int:
        """Number of triples in the whole split."""
        return self.num_queries // 2

    @property
    def num_sampled_triples(self) -> int:
        """Number of triples that were measured, T."""
        return len(self.queries) // 2

    def whole_seconds(self) -> np.ndarray:
        """Returns ``[Q]`` float64 processor seconds of each sampled query against all entities."""
        sampled = np.array([query.seconds_per_candidate for query in self.queries])
        number = np.array([query.num_all_candidates for query in self.queries])
        if not self.whole:
            return sampled * number
        at = sampled[evenly_spread(sampled, len(self.whole))]
        ratios = np.array([query.seconds_per_candidate for query in self.whole]) / at
        return sampled * np.interp(np.log(sampled), np.log(at), ratios) * number

    def triple_seconds(self) -> np.ndarray:
        """Returns ``[T]`` float64 processor seconds of each sampled triple, both sides against all entities."""
        return self.whole_seconds().reshape(-1, 2).sum(axis=1)

    def relation_seconds(self) -> np.ndarray:
        """Returns ``[T]`` float64: the mean of :meth:`triple_seconds` over the relation of each sampled triple."""
        relations = np.array([query.relation for query in self.queries[::2]])
        seconds = self.triple_seconds()
        means = {relation: seconds[relations == relation].mean() for relation in np.unique(relations)}
        return np.array([means[relation] for relation in relations])

    def draw_triples(self, num_triples: int, seed: int) -> np.ndarray:
        """Returns ``[num_triples]`` int64 places among the sampled triples, drawn with replacement."""
        return np.random.default_rng(seed).choice(self.num_sampled_triples, num_triples)


def evenly_spread(values: np.ndarray, number: int) -> list[int]:
    """Returns the places of ``number`` of ``values`` ``[V]``, spread evenly over their order from small to large."""
    order = np.argsort(values)
    return [int(order[int((place + 0.5) * order.size / number)]) for place in range(number)]


def load_work(path: Path) -> MeasuredWork:
    """Reads a measurement.

    Raises:
        WorkError: the file is not one of ``python -m benchmarks.query_work``.
    """
    try:
        figures = json.loads(path.read_text())["work"]
        return MeasuredWork(
            int(figures["num_queries"]),
            tuple(QueryWork(**query) for query in figures["queries"]),
            tuple(QueryWork(**query) for query in figures["whole"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkError(
            f"{path}: no measurement of work ({error}); expected a file that python -m benchmarks.query_work wrote"
        ) from error
