"""Which triples of a split are ranked or compared, and against which corruptions: one draw for all commands."""

from __future__ import annotations

import argparse

from proofrank.core.choices import SPLITS
from proofrank.core.errors import ProofrankError
from proofrank.core.graph import Dataset
from proofrank.core.protocols import corruptor_of
from proofrank.core.ranking import LazyQueries, Query, sample_triples, sides_of
from proofrank.service.cli.ranking_options import add_ranking, ranking_rules


def add_queries(parser: argparse.ArgumentParser, default_number: int | None) -> None:
    """Adds the options that say what is drawn.

    Args:
        parser: of a command.
        default_number: triples to take where ``--queries`` is not given; None for all.
    """
    parser.add_argument("--split", default="test", choices=SPLITS, help="which triples (default: test)")
    add_ranking(parser, default_number)


def drawn_queries(parsed: argparse.Namespace, dataset: Dataset) -> list[Query]:
    """The queries that the options of :func:`add_queries` ask for, all at once.

    Raises:
        ProofrankError: the split is empty.
    """
    return drawn_work(parsed, dataset).all_queries()


def drawn_work(parsed: argparse.Namespace, dataset: Dataset) -> LazyQueries:
    """The same queries, whose corruptions are drawn when they are wanted.

    Raises:
        ProofrankError: the split is empty, or the protocol or its files are not as expected.
    """
    triples = list(dataset.splits[parsed.split])
    if not triples:
        raise ProofrankError(f"split {parsed.split!r} of dataset {dataset.name!r} has no triples to rank")
    if parsed.queries is not None:
        triples = sample_triples(triples, parsed.queries, parsed.seed)
    sides = [sides_of(parsed.side)] * len(triples)
    negatives = getattr(parsed, "negatives", None)
    corruptor = corruptor_of(ranking_rules(parsed), dataset, parsed.seed, triples, sides, negatives)
    return LazyQueries(triples, sides, corruptor)
