"""``proofrank fit-hybrid``: fit the weights of hybrid scores to valid, and say what they gain."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from proofrank.core.hybrid import HYBRID_FORMAT, HybridWeights
from proofrank.core.ranking.hybrid_fit import TIES, Estimate
from proofrank.hybrid_fitting import fit_hybrid
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.options import (
    add_dataset_and_policy,
    add_engine,
    add_prover_settings,
    engine_options,
    prover_overrides,
    read_dataset,
    read_policy,
)
from proofrank.service.cli.ranking_options import add_ranking


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    add_dataset_and_policy(parser)
    parser.add_argument(
        "--embedding",
        type=Path,
        required=True,
        metavar="PATH",
        help="an embedding's folder, one of the public DeepProofLog code, or a file of scores",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file of weights for evaluate --hybrid"
    )
    parser.add_argument(
        "--split", default="valid", metavar="NAME", help="valid or train, and never test (default: valid)"
    )
    add_ranking(parser, None)
    parser.add_argument(
        "--ties",
        default="realistic",
        choices=TIES,
        help="which rank counts among equals (default: realistic)",
    )
    parser.add_argument(
        "--by-relation",
        action="store_true",
        help="fit weights of each relation that has 20 rankings or more",
    )
    add_engine(parser, default="auto")
    add_prover_settings(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    check_writable("--out", parsed.out)
    options = engine_options(parsed)
    options.check()
    dataset = read_dataset(parsed)
    policy = read_policy(parsed, dataset)
    fitted = fit_hybrid(
        dataset,
        policy,
        parsed.embedding,
        split=parsed.split,
        queries=parsed.queries,
        corruptions="all" if parsed.corruptions is None else parsed.corruptions,
        side=parsed.side,
        filtered=not parsed.unfiltered,
        ties=parsed.ties,
        by_relation=parsed.by_relation,
        seed=parsed.seed,
        engine=parsed.engine,
        device=parsed.device,
        prover=prover_overrides(parsed),
        cache_folder=parsed.cache_folder,
        progress=True,
    )
    content = {"format": HYBRID_FORMAT, **fitted.hybrid.to_dict(), "fitted": fitted.to_dict()}
    write_output("--out", parsed.out, json.dumps(content, indent=1) + "\n")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{dataset.name} {parsed.split}: {fitted.triples} triples, {fitted.rankings} rankings")
    table = Table(box=None, pad_edge=False)
    for heading in ("score", "MRR", "interval of 95 %"):
        table.add_column(heading, justify="left" if heading == "score" else "right")
    names = {
        "proof": "proof",
        "embedding": "embedding",
        "hybrid": "hybrid, on the rankings that chose the weights",
        "held_out": "hybrid, each fifth with the weights of the others",
    }
    for name, title in names.items():
        table.add_row(title, *_shown(fitted.mrr[name], "{:.4f}"))
    for name, estimate in fitted.gain.items():
        table.add_row(f"gain of the last over {name}", *_shown(estimate, "{:+.4f}"))
    console.print(table)
    console.print(f"weights: {_weights(fitted.hybrid.overall)}")
    for relation, weights in fitted.hybrid.by_relation.items():
        console.print(f"  {relation}: {_weights(weights)}")
    console.print(f"wrote {parsed.out}")
    return 0


def _shown(estimate: Estimate, form: str) -> tuple[str, str]:
    if estimate.low is None or estimate.high is None:
        return form.format(estimate.mean), "-"
    return form.format(estimate.mean), f"{form.format(estimate.low)} to {form.format(estimate.high)}"


def _weights(weights: HybridWeights) -> str:
    proof = "log-probability" if weights.bonus is None else f"{weights.bonus:g}"
    return f"{weights.weight:g} k + {proof} if proved, {weights.weight:g} k - {weights.penalty:g} if not"
