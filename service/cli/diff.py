"""``proofrank diff``: prove the same candidates with two engines and show the first state in which they part."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from proofrank.core.errors import counted
from proofrank.core.evaluator import ReferenceEvaluator, settings_for
from proofrank.core.evaluator.diff import describe, differing
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.evaluator.replay import to_candidate
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.service.cli.options import (
    add_dataset_and_policy,
    add_engine,
    add_prover_settings,
    add_recorded_data,
    make_evaluator,
    prover_overrides,
    read_dataset,
    read_policy,
    recorded_dataset,
)
from proofrank.service.cli.queries import add_queries, drawn_queries

EXIT_DIFFERS = 1


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = f"{__doc__} Exits with 1 if an outcome differs."
    add_dataset_and_policy(parser)
    parser.add_argument(
        "--recording", type=Path, metavar="DIR", help="take candidates and policy of a recording"
    )
    add_recorded_data(parser)
    add_queries(parser, default_number=20)
    parser.add_argument(
        "--against", default="original", metavar="NAME", help="the other engine (default: original)"
    )
    add_engine(parser, default="auto")
    add_prover_settings(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    dataset, policy, settings, candidates = _candidates(parsed)
    evaluators = [
        make_evaluator(argparse.Namespace(**{**vars(parsed), "engine": engine}), dataset, policy, settings)
        for engine in (parsed.engine, parsed.against)
    ]
    names = (evaluators[0].engine, evaluators[1].engine)
    outcomes = [evaluator.evaluate(candidates) for evaluator in evaluators]
    found = differing(candidates, outcomes[0], outcomes[1])
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{counted(len(candidates), 'candidate')}, engines {' and '.join(names)}: "
        f"{counted(len(found), 'outcome differs', 'outcomes differ')}"
    )
    if found:
        reference = ReferenceEvaluator(dataset, policy, settings)
        console.print(describe(found[0], names, reference, dataset))
    return EXIT_DIFFERS if found else 0


def _candidates(parsed: argparse.Namespace) -> tuple[Dataset, Policy, ProverSettings, list[Candidate]]:
    if parsed.recording is not None:
        recording = read_recording(parsed.recording)
        dataset = recorded_dataset(parsed, recording)
        policy = load_policy(parsed.recording, dataset)
        return (
            dataset,
            policy,
            recording.settings,
            [to_candidate(item, dataset) for item in recording.candidates],
        )
    dataset = read_dataset(parsed)
    policy = read_policy(parsed, dataset)
    queries = drawn_queries(parsed, dataset)
    candidates = [candidate for query in queries for candidate in query.candidates]
    return dataset, policy, settings_for(policy, prover_overrides(parsed)), candidates
