"""A small graph of edges, and cyclic paths over them, for the tests of streams and of the scheduler."""

from __future__ import annotations

from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate
from tests.helpers.datasets import DatasetMaker

NAMES = tuple(f"n{number}" for number in range(6))


def make_paths(make_dataset: DatasetMaker) -> Dataset:
    """Makes the graph."""
    facts = [
        f"edge({name},{NAMES[(number + step) % 6]})."
        for number, name in enumerate(NAMES)
        for step in (1, 4)
        if (number + step) % 4
    ]
    return make_dataset(
        facts, ["path(X,Y) :- edge(X,Y).", "path(X,Y) :- edge(X,Z), path(Z,Y).", "path(X,Y) :- path(Y,X)."]
    )


def all_paths(dataset: Dataset) -> list[Candidate]:
    """Returns every pair of names as a path, whether it exists or not."""
    return [
        Candidate(dataset.triple(first, "path", second), is_positive=False)
        for first in NAMES
        for second in NAMES
    ]
