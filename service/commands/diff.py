"""``proofrank diff``: prove the same candidates with two engines and show the first state in which they part."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from core.errors import ProofrankError
from core.evaluator import OriginalEvaluator, settings_for
from core.evaluator.diff import describe, differences
from core.evaluator.recordings import read_recording
from core.evaluator.replay import to_candidate
from core.graph import Dataset, load_dataset
from core.policy import Policy, load_policy
from core.prover import Candidate, ProverSettings
from core.ranking import SIDE_OPTIONS, Corruptor, corrupted_queries, sides_of
from service.commands.options import (
    add_dataset_and_policy,
    add_engine,
    add_prover_settings,
    make_evaluator,
    prover_overrides,
)

EXIT_DIFFERS = 1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "diff",
        help="prove the same candidates with two engines and show where they part",
        description=f"{__doc__} Exits with 1 if an outcome differs.",
    )
    add_dataset_and_policy(parser)
    parser.add_argument(
        "--recording", type=Path, metavar="DIR", help="take candidates and policy of a recording"
    )
    parser.add_argument(
        "--queries", type=int, default=20, metavar="N", help="test triples to take (default: 20)"
    )
    parser.add_argument(
        "--corruptions", type=int, default=50, metavar="N", help="per query and side (default: 50)"
    )
    parser.add_argument("--side", default="both", choices=SIDE_OPTIONS, help="which constant is replaced")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default: 0)")
    parser.add_argument(
        "--against", default="original", metavar="NAME", help="the other engine (default: original)"
    )
    add_engine(parser, default="auto")
    add_prover_settings(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    dataset, policy, settings, candidates = _candidates(parsed)
    evaluator = make_evaluator(parsed, dataset, policy, settings)
    other = make_evaluator(
        argparse.Namespace(**{**vars(parsed), "engine": parsed.against}), dataset, policy, settings
    )
    found = differences(evaluator, other, candidates)
    names = (evaluator.engine, other.engine)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{len(candidates)} candidates, engines {' and '.join(names)}: {len(found)} outcomes differ"
    )
    if found:
        console.print(describe(found[0], names, OriginalEvaluator(dataset, policy, settings), dataset))
    return EXIT_DIFFERS if found else 0


def _candidates(parsed: argparse.Namespace) -> tuple[Dataset, Policy, ProverSettings, list[Candidate]]:
    if parsed.recording is not None:
        recording = read_recording(parsed.recording)
        dataset = load_dataset(parsed.recording.resolve().parent.parent / "data" / recording.dataset)
        policy = load_policy(parsed.recording, dataset)
        return (
            dataset,
            policy,
            recording.settings,
            [to_candidate(item, dataset) for item in recording.candidates],
        )
    dataset = load_dataset(parsed.dataset)
    policy = load_policy(parsed.policy, dataset)
    triples = list(dataset.splits["test"])
    if parsed.queries < 1:
        raise ProofrankError(f"--queries {parsed.queries}: expected 1 or more")
    if not triples:
        raise ProofrankError(f"split 'test' of dataset {dataset.name!r} has no triples to compare on")
    drawn = np.random.default_rng(parsed.seed).permutation(len(triples))[: parsed.queries]
    corruptor = Corruptor(dataset, number=parsed.corruptions, seed=parsed.seed)
    queries = corrupted_queries(
        [triples[index] for index in drawn.tolist()], sides_of(parsed.side), corruptor
    )
    candidates = [candidate for query in queries for candidate in query.candidates]
    return dataset, policy, settings_for(policy, prover_overrides(parsed)), candidates
