"""Which triples of a split are ranked or compared, and against which corruptions: one draw for all commands."""

from __future__ import annotations

import argparse

from core.errors import ProofrankError
from core.graph import SPLITS, Dataset
from core.ranking import (
    SIDE_OPTIONS,
    TIE_POLICIES,
    Corruptor,
    LazyQueries,
    Query,
    sample_triples,
    sides_of,
)


def add_queries(parser: argparse.ArgumentParser, default_number: int | None) -> None:
    """Adds the options that say what is drawn.

    Args:
        parser: of a command.
        default_number: triples to take where ``--queries`` is not given; None for all.
    """
    parser.add_argument("--split", default="test", choices=SPLITS, help="which triples (default: test)")
    add_ranking(parser, default_number)


def add_ranking(parser: argparse.ArgumentParser, default_number: int | None) -> None:
    """Adds the options of :func:`add_queries` that hold for any triples, whether of a split or not."""
    group = parser.add_argument_group("queries")
    group.add_argument(
        "--corruptions",
        type=_number_or_all,
        default=50,
        metavar="N|all",
        help="per query and side (default: 50)",
    )
    group.add_argument("--side", default="both", choices=SIDE_OPTIONS, help="which constant is replaced")
    group.add_argument(
        "--queries",
        type=positive,
        default=default_number,
        metavar="N",
        help=f"a seeded sample of N triples (default: {'all' if default_number is None else default_number})",
    )
    group.add_argument("--seed", type=_not_negative, default=0, help="of every draw (default: 0)")
    group.add_argument("--unfiltered", action="store_true", help="corruptions may be known triples")


def add_ties(parser: argparse.ArgumentParser) -> None:
    """Adds ``--ties``."""
    parser.add_argument(
        "--ties", default="realistic", choices=TIE_POLICIES, help="which rank counts among equals"
    )


def drawn_queries(parsed: argparse.Namespace, dataset: Dataset) -> list[Query]:
    """The queries that the options of :func:`add_queries` ask for, all at once.

    Raises:
        ProofrankError: the split is empty.
    """
    return drawn_work(parsed, dataset).all_queries()


def drawn_work(parsed: argparse.Namespace, dataset: Dataset) -> LazyQueries:
    """The same queries, whose corruptions are drawn when they are wanted.

    Raises:
        ProofrankError: the split is empty.
    """
    triples = list(dataset.splits[parsed.split])
    if not triples:
        raise ProofrankError(f"split {parsed.split!r} of dataset {dataset.name!r} has no triples to rank")
    if parsed.queries is not None:
        triples = sample_triples(triples, parsed.queries, parsed.seed)
    corruptor = Corruptor(
        dataset, number=parsed.corruptions, is_filtered=not parsed.unfiltered, seed=parsed.seed
    )
    return LazyQueries(triples, [sides_of(parsed.side)] * len(triples), corruptor)


def _number_or_all(text: str) -> int | None:
    """The number of corruptions; None for all."""
    return None if text == "all" else _not_negative(text)


def _not_negative(text: str) -> int:
    return _at_least(text, 0)


def positive(text: str) -> int:
    """A whole number of 1 or more, as a type of an option."""
    return _at_least(text, 1)


def _at_least(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number, {least} or more")
    return value
