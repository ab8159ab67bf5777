"""``proofrank sample``: draw trajectories of triples and say how many of them are proofs."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from proofrank.core.choices import SPLITS
from proofrank.core.errors import ProofrankError, counted
from proofrank.core.formats.triples import read_triples
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.ranking import sample_triples
from proofrank.sampling import SampledTriple, sample
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.options import (
    add_dataset_and_policy,
    add_prover_settings,
    prover_overrides,
    read_dataset,
    read_policy,
)
from proofrank.service.cli.ranking_options import check_triples, not_negative, positive
from proofrank.service.threads import use_threads


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    parser.add_argument("triple", nargs="*", metavar="HEAD RELATION TAIL", help="a triple, by its names")
    parser.add_argument("--split", choices=SPLITS, help="the triples of a split")
    parser.add_argument(
        "--queries",
        type=positive,
        metavar="N",
        help="for --split: a seeded sample of N triples (default: all)",
    )
    parser.add_argument("--file", type=Path, metavar="FILE", help="the triples of FILE")
    add_dataset_and_policy(parser)
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--samples",
        type=positive,
        default=100,
        metavar="N",
        help="trajectories of each triple (default: 100)",
    )
    group.add_argument("--seed", type=not_negative, default=0, help="of every draw (default: 0)")
    group.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="share of such intervals that hold the probability of a proof (default: 0.95)",
    )
    parser.add_argument("--device", metavar="NAME", help="torch device (default: CUDA where there is one)")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads of torch on a CPU (default: 1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it to FILE")
    add_prover_settings(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    _check(parsed)
    check_writable("--json", parsed.json)
    use_threads(parsed.threads)
    dataset = read_dataset(parsed)
    policy = read_policy(parsed, dataset)
    found = sample(
        dataset,
        policy,
        _triples(parsed, dataset),
        samples=parsed.samples,
        seed=parsed.seed,
        confidence=parsed.confidence,
        prover=prover_overrides(parsed),
        device=parsed.device,
        progress=not parsed.triple,
    )
    if parsed.json is not None:
        write_output("--json", parsed.json, _to_json(parsed, dataset, policy, found))
    _print(parsed, dataset, policy, found)
    return 0


def _check(parsed: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    check_triples(parsed)
    if parsed.queries is not None and parsed.split is None:
        raise ProofrankError("--queries cannot be given here: it is for --split")


def _triples(parsed: argparse.Namespace, dataset: Dataset) -> list[tuple[str, str, str]]:
    """The triples that the options name.

    Raises:
        ProofrankError: there is none, or the file cannot be read.
    """
    if parsed.triple:
        head, relation, tail = parsed.triple
        return [(head, relation, tail)]
    if parsed.file is not None:
        file = read_triples(parsed.file)
        if not file.triples:
            raise ProofrankError(f"--file {parsed.file}: no triples in it")
        for warning in file.warnings:
            Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"warning: {warning}")
        return [(atom.first, atom.predicate, atom.second) for atom in file.triples]
    triples = list(dataset.splits[parsed.split])
    if not triples:
        raise ProofrankError(f"split {parsed.split!r} of dataset {dataset.name!r} has no triples")
    if parsed.queries is not None:
        triples = sample_triples(triples, parsed.queries, parsed.seed)
    return [dataset.names(triple) for triple in triples]


def _to_json(
    parsed: argparse.Namespace, dataset: Dataset, policy: Policy, found: tuple[SampledTriple, ...]
) -> str:
    content = {
        "dataset": {"name": dataset.name, "sha256": dataset.content_hash},
        "policy": {"name": policy.name, "sha256": policy.content_hash},
        "seed": parsed.seed,
        "confidence": parsed.confidence,
        "triples": [dataclasses.asdict(one) for one in found],
    }
    return json.dumps(content, indent=1) + "\n"


def _print(
    parsed: argparse.Namespace, dataset: Dataset, policy: Policy, found: tuple[SampledTriple, ...]
) -> None:
    title = (
        f"dataset {dataset.name}, policy {policy.name} ({policy.content_hash[:12]}): "
        f"{counted(parsed.samples, 'trajectory', 'trajectories')} of each triple, seed {parsed.seed}"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("triple", overflow="fold")
    for column in ("proved", "share", f"{100 * parsed.confidence:g} % interval"):
        table.add_column(column, justify="right")
    for one in found:
        name = f"{one.relation}({one.head}, {one.tail})"
        table.add_row(name, str(one.proved), f"{one.share:.4f}", f"{one.low:.4f} to {one.high:.4f}")
    Console(highlight=False, markup=False, soft_wrap=True).print(table)
