"""``proofrank audit``: what cannot be in the recorded outcomes of an evaluator, whichever wrote them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from proofrank.core.errors import counted
from proofrank.core.evaluator.audit import Audit, audit
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.provability import compute_least_model
from proofrank.service.cli.files import check_writable
from proofrank.service.cli.options import add_recorded_data, recorded_dataset

EXIT_IMPOSSIBLE = 1
_NUM_SHOWN = 3
"""Number of findings of a kind that are printed; the JSON file has all."""


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = (
        f"{__doc__} It finds proofs of candidates that facts and rules do not imply, trajectories of more steps than "
        "the limit, log-probabilities above 0, and ranks and metrics that do not follow from the outcomes. No policy "
        "is needed. Exits with 1 if it finds any."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the recording")
    add_recorded_data(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every finding to FILE")


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    recording = read_recording(parsed.folder)
    dataset = recorded_dataset(parsed, recording)
    check_writable("--json", parsed.json)
    found = audit(recording, dataset, compute_least_model(dataset))
    if parsed.json is not None:
        parsed.json.write_text(_as_json(found), encoding="utf-8")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{parsed.folder.resolve().name}: {counted(found.num_candidates, 'candidate')}, "
        f"{found.num_proved} recorded as proved"
    )
    if not found.is_model_exact:
        console.print(
            "the least model is too large here: a superset was used, and some proofs may go unnoticed"
        )
    for kind, number in found.counts.items():
        console.print(f"{kind}: {number}")
        for finding in [finding for finding in found.findings if finding.kind == kind][:_NUM_SHOWN]:
            console.print(f"  {finding.where}: {finding.text}")
    if not found.findings:
        console.print("nothing impossible found")
    return EXIT_IMPOSSIBLE if found.findings else 0


def _as_json(found: Audit) -> str:
    return json.dumps(
        {
            "candidates": found.num_candidates,
            "proved": found.num_proved,
            "is_model_exact": found.is_model_exact,
            "counts": found.counts,
            "findings": [
                {"kind": finding.kind, "where": finding.where, "text": finding.text}
                for finding in found.findings
            ],
        },
        indent=2,
        ensure_ascii=False,
    )
