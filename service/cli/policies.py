"""``proofrank policies``: the policies of a server, and which of them is live."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.listings import print_rows, time_text
from proofrank.service.cli.server_options import add_server, make_client
from proofrank.service.client import StoredPolicy
from proofrank.service.wire import StoredWeights, answer_to_json

COLUMNS = ("policy", "live", "sha256", "run", "step", "labels", "hybrid", "bytes", "created")


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    parser.add_argument(
        "--run", dest="training_run", metavar="RUN", help="only policies of this training run"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the policies to FILE, as a list")
    add_server(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    check_writable("--json", parsed.json)
    with make_client(parsed) as client:
        policies = [policy for policy in client.policies() if parsed.training_run in (None, policy.run)]
    print_rows(COLUMNS, map(policy_row, policies))
    if parsed.json is not None:
        written = [json.loads(answer_to_json(policy)) for policy in policies]
        write_output("--json", parsed.json, json.dumps(written, ensure_ascii=False, indent=1) + "\n")
    return 0


def policy_row(policy: StoredPolicy) -> tuple[str, ...]:
    """The cells of a policy, one for each of ``COLUMNS``."""
    return (
        policy.name,
        "live" if policy.active else "",
        policy.sha256[:12],
        policy.run or "",
        "" if policy.step is None else str(policy.step),
        ", ".join(f"{name}={text}" for name, text in policy.labels.items()),
        _weights(policy.hybrid),
        str(policy.bytes),
        time_text(policy.created),
    )


def _weights(hybrid: StoredWeights | None) -> str:
    """What is known of the weights of hybrid scores that are stored with a policy."""
    if hybrid is None:
        return ""
    if hybrid.error is not None:
        return "damaged"
    beam = (
        ""
        if hybrid.beam is None or hybrid.beam.width == 1
        else f", beam {hybrid.beam.width} {hybrid.beam.score}"
    )
    return ("weights" if hybrid.embedding is None else hybrid.embedding.name) + beam
