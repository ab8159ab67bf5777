"""A graph and scores with many ties, with which protocols are compared with implementations of their own."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np

from proofrank.core.choices import Side
from proofrank.core.graph import Dataset, Triple
from proofrank.core.protocol_rules import settled
from proofrank.core.protocols import corruptor_of
from proofrank.core.prover import Outcome, Outcomes
from proofrank.core.ranking import LazyQueries, RankedQuery, rank_outcomes
from tests.helpers.datasets import DatasetMaker

NUM_ENTITIES = 60
BOTH: tuple[Side, ...] = ("head", "tail")


def drawn_graph(make_dataset: DatasetMaker, *, domains: bool = False, num_test: int = 40) -> Dataset:
    """A graph of two relations over 60 entities; with domains, of 20, 39 and 1 of them."""
    draw = random.Random(4)
    names = [f"e{number:02d}" for number in range(NUM_ENTITIES)]
    atoms = {
        f"{relation}({head},{tail})."
        for relation in ("p", "q")
        for head, tail in (draw.sample(names, 2) for _ in range(200 + num_test))
    }
    atoms |= {f"p({head},{tail})." for head, tail in itertools.pairwise(names)}
    drawn = sorted(atoms)
    draw.shuffle(drawn)
    parts = [["a", *names[:20]], ["c", names[20]], ["b", *names[21:]]]
    return make_dataset(
        drawn[num_test:],
        ["q(X,Y) -> p(Y,X)"],
        test=drawn[:num_test],
        domains=[" ".join(part) for part in parts] if domains else None,
    )


def score(triple: Sequence[int]) -> float:
    """One of five scores, so that many tie."""
    predicate, head, tail = (int(part) for part in triple)
    return -float((7 * predicate + 31 * head + 17 * tail + head * tail) % 5)


def scored_outcomes(candidates: Sequence[Triple]) -> Outcomes:
    """Outcomes with these scores, as an evaluator gives them."""
    return Outcomes.of([Outcome(True, score(triple), 1, (0,), False, 0.0) for triple in candidates])


def ranked_by(
    protocol: str | None,
    dataset: Dataset,
    *,
    sides: tuple[Side, ...] = BOTH,
    seed: int = 0,
    **options: object,
) -> list[RankedQuery]:
    """The test triples, ranked by the scores above under a protocol; ``options`` are of ``settled`` and a file."""
    negatives = options.pop("negatives", None)
    rules = settled(protocol, **options)  # type: ignore[arg-type]
    triples = dataset.splits["test"]
    all_sides = [sides] * len(triples)
    corruptor = corruptor_of(rules, dataset, seed, triples, all_sides, negatives)  # type: ignore[arg-type]
    queries = LazyQueries(triples, all_sides, corruptor).all_queries()
    outcomes = scored_outcomes([Triple(*row) for query in queries for row in query.candidates.triples])
    return rank_outcomes(queries, outcomes, seed=seed, seconds=1.0)


def completed(triple: Triple, side: Side, constant: int) -> Triple:
    """``triple`` with another constant on ``side``."""
    return triple._replace(**{side: int(constant)})


def known(dataset: Dataset) -> set[Triple]:
    """All triples of the graph."""
    return {triple for split in dataset.splits.values() for triple in split}


def mean_reciprocal(ranks: Sequence[float]) -> float:
    """The MRR in double precision."""
    return float(np.mean([1 / rank for rank in ranks]))
