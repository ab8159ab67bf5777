"""``proofrank fit-hybrid``: fit the weights of hybrid scores to valid, and say what they gain."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from proofrank.core.choices import untrained_seed
from proofrank.core.errors import ProofrankError
from proofrank.core.hybrid import HYBRID_FILE, HybridWeights
from proofrank.core.policy.checkpoint import store_hybrid
from proofrank.core.policy.files import policy_paths
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
from proofrank.service.cli.ranking_options import add_beam, add_ranking


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
    parser.add_argument("--out", type=Path, metavar="FILE", help="file of weights for evaluate --hybrid")
    parser.add_argument(
        "--with-policy",
        action="store_true",
        help=f"write them to {HYBRID_FILE} in the policy's folder, whose content and SHA-256 they are a part of from "
        "then on",
    )
    parser.add_argument(
        "--split", default="valid", metavar="NAME", help="valid or train, and never test (default: valid)"
    )
    add_ranking(parser, None)
    add_beam(parser)
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
    if parsed.out is None and not parsed.with_policy:
        raise ProofrankError("the weights go nowhere; expected --out FILE, --with-policy, or both")
    if parsed.with_policy and untrained_seed(parsed.policy) is not None:
        raise ProofrankError(
            f"--with-policy needs the folder of a policy, and --policy is {str(parsed.policy)!r}"
        )
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
        beam=parsed.beam,
        beam_score=parsed.beam_score,
        cache_folder=parsed.cache_folder,
        progress=True,
    )
    written = []
    if parsed.out is not None:
        write_output("--out", parsed.out, json.dumps(fitted.to_file(), indent=1) + "\n")
        written.append(f"wrote {parsed.out}")
    if parsed.with_policy:
        sha256 = store_hybrid(parsed.policy, policy, fitted.to_file())
        path = policy_paths(parsed.policy).hybrid
        written.append(
            f"wrote {path}: the policy's SHA-256 is {sha256} now, before it was {policy.content_hash}"
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{dataset.name} {parsed.split}: {fitted.triples} triples, {fitted.rankings} rankings, by {fitted.beam}"
    )
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
    for line in written:
        console.print(line)
    return 0


def _shown(estimate: Estimate, form: str) -> tuple[str, str]:
    if estimate.low is None or estimate.high is None:
        return form.format(estimate.mean), "-"
    return form.format(estimate.mean), f"{form.format(estimate.low)} to {form.format(estimate.high)}"


def _weights(weights: HybridWeights) -> str:
    proof = "log-probability" if weights.bonus is None else f"{weights.bonus:g}"
    return f"{weights.weight:g} k + {proof} if proved, {weights.weight:g} k - {weights.penalty:g} if not"
