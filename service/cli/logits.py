"""``proofrank logits``: the logits of a policy for given states and actions, compared with those of a file."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from rich.console import Console

from proofrank.core.choices import untrained_seed
from proofrank.core.errors import ProofrankError, counted
from proofrank.core.policy import load_policy
from proofrank.core.policy.probes import ProbeResult, ProbeScorer, read_probes
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.options import add_dataset_and_policy, read_dataset, read_policy

EXIT_DIFFERS = 1
TOLERANCE = 1e-5
"""Difference to a logit of a file that rounding explains, relative to 1 plus the largest logit of its line."""


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = (
        "Computes logits of states and actions that a file of JSON lines gives by their names. Exits with 1 if one "
        "differs from a logit of the file by more than rounding. docs/policies.md has the form of the lines."
    )
    add_dataset_and_policy(parser)
    parser.add_argument("--probes", type=Path, required=True, metavar="FILE", help="JSON lines to compute")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the lines with the policy's logits")
    parser.add_argument(
        "--tolerance",
        type=_tolerance,
        default=TOLERANCE,
        metavar="NUMBER",
        help=f"difference allowed, relative to 1 + the largest logit of a line (default: {TOLERANCE})",
    )


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text} is no tolerance; expected a number from 0")
    return value


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    check_writable("--out", parsed.out)
    policy = read_policy(parsed, read_dataset(parsed))
    if untrained_seed(parsed.policy) is None:
        policy = load_policy(parsed.policy, with_unused_predicates=True)
    exact, single = ProbeScorer(policy), ProbeScorer(policy, torch.float32)
    results: list[ProbeResult] = []
    rounding = 0.0
    for probe in read_probes(parsed.probes, policy):
        result = exact(probe)
        results.append(result)
        pairs = zip(single(probe).logits, result.logits, strict=True)
        rounding = max(rounding, *(abs(ours - true) for ours, true in pairs))
    if not results:
        raise ProofrankError(f"{parsed.probes}: no line; expected JSON lines with state and actions")
    if parsed.out is not None:
        lines = (json.dumps({**result.probe.fields, "logits": result.logits}) for result in results)
        write_output("--out", parsed.out, "".join(f"{line}\n" for line in lines))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{counted(len(results), 'state')}, "
        f"{counted(sum(len(result.logits) for result in results), 'logit')}, computed in float64; in "
        f"float32, as engines compute, they differ by at most {rounding:.1e}"
    )
    return _compare(console, results, parsed.tolerance)


def _compare(console: Console, results: list[ProbeResult], tolerance: float) -> int:
    """Prints how far the logits are from those of the file; returns the exit status."""
    compared = [result for result in results if result.probe.logits is not None]
    if not compared:
        console.print("the file has no logits to compare with")
        return 0
    differences = {id(result): result.difference or 0.0 for result in compared}
    worst = max(compared, key=lambda result: differences[id(result)])
    wrong = [result for result in compared if differences[id(result)] > result.allowed(tolerance)]
    console.print(
        f"{counted(len(compared), 'state')} compared with the file: largest difference {differences[id(worst)]:.1e} "
        f"({worst.probe.place}), {len(wrong)} beyond the tolerance of {tolerance:g} * (1 + largest logit)"
    )
    for result in wrong[:3]:
        console.print(
            f"  {result.probe.place}: difference {differences[id(result)]:.2e}, allowed {result.allowed(tolerance):.1e}"
        )
        console.print(f"    file:   {_shown(result.probe.logits or ())}")
        console.print(f"    policy: {_shown(result.logits)}")
    return EXIT_DIFFERS if wrong else 0


def _shown(logits: tuple[float, ...]) -> str:
    return " ".join(f"{logit:.6f}" for logit in logits[:8]) + " …" * (len(logits) > 8)
