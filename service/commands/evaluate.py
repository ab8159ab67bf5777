"""``proofrank evaluate``: the metrics of a policy on a split, and the proof of one triple."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from core.evaluator import Evaluator, OriginalEvaluator, explain, render_proof, settings_for
from core.graph import Dataset, Triple, load_dataset
from core.policy import load_policy
from core.prover import Candidate
from core.ranking import Report, rank_queries, report
from service.commands.options import (
    add_dataset_and_policy,
    add_engine,
    add_prover_settings,
    check_writable,
    make_evaluator,
    prover_overrides,
)
from service.commands.queries import add_queries, add_ties, drawn_queries
from service.commands.tables import print_metrics
from service.progress import progress_bar


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "evaluate", help="rank the triples of a split and print MRR and Hits@k", description=__doc__
    )
    add_dataset_and_policy(parser)
    add_engine(parser, default="auto")
    add_queries(parser, default_number=None)
    add_ties(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the metrics to FILE")
    parser.add_argument(
        "--explain",
        nargs=3,
        metavar=("HEAD", "RELATION", "TAIL"),
        help="print the proof of this triple instead of ranking a split; a triple of the graph is taken as the "
        "positive of its query and not used as a fact",
    )
    add_prover_settings(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    console, errors = Console(), Console(stderr=True)
    dataset = load_dataset(parsed.dataset)
    for warning in dataset.warnings:
        errors.print(f"warning: {warning}", highlight=False, markup=False)
    policy = load_policy(parsed.policy, dataset)
    settings = settings_for(policy, prover_overrides(parsed))
    if parsed.explain is not None:
        head, relation, tail = parsed.explain
        reference = OriginalEvaluator(dataset, policy, settings)
        console.print(
            explanation_text(reference, dataset, dataset.triple(head, relation, tail)),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return 0
    check_writable("--json", parsed.json)
    evaluator = make_evaluator(parsed, dataset, policy, settings)
    metrics = _evaluate(parsed, dataset, evaluator, errors)
    if parsed.json is not None:
        parsed.json.write_text(json.dumps(metrics.to_dict(), indent=1) + "\n", encoding="utf-8")
    title = f"{dataset.name} {parsed.split}, policy {policy.name}, engine {evaluator.engine}"
    print_metrics(metrics, title)
    return 0


def explanation_text(reference: OriginalEvaluator, dataset: Dataset, triple: Triple) -> str:
    """The proof that the policy finds for ``triple``, as a tree."""
    # Only a known triple could prove itself; anything else is judged as a corruption would be.
    candidate = Candidate(triple, is_positive=tuple(triple) in dataset.facts)
    outcome = reference.prove(candidate)
    return render_proof(explain(reference.prover, reference.scorer, candidate, outcome.actions), dataset)


def _evaluate(parsed: argparse.Namespace, dataset: Dataset, evaluator: Evaluator, errors: Console) -> Report:
    queries = drawn_queries(parsed, dataset)
    num_candidates = sum(1 + len(query.corruptions) for query in queries)
    with progress_bar(errors, "candidates", num_candidates) as on_progress:
        ranked = rank_queries(evaluator, queries, seed=parsed.seed, on_progress=on_progress)
    return report(ranked, dataset, parsed.ties)
