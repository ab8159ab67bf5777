"""``proofrank runs``: the training runs of a server, or the metrics of one run by step."""

from __future__ import annotations

import argparse
from pathlib import Path

from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.listings import mrr_text, print_rows, share_text, time_text
from proofrank.service.cli.server_options import add_server, make_client
from proofrank.service.client import Run
from proofrank.service.wire import RunList, answer_to_json


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    parser.add_argument(
        "training_run", nargs="?", metavar="RUN", help="show this run, a row for each job of a step"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the server's answer to FILE")
    add_server(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    check_writable("--json", parsed.json)
    with make_client(parsed) as client:
        answer = RunList(client.runs()) if parsed.training_run is None else client.run(parsed.training_run)
    if isinstance(answer, Run):
        print_rows(_STEPS, _steps(answer))
    else:
        print_rows(
            ("run", "steps", "last step", "jobs", "last upload or job"),
            [
                (run.name, str(run.steps), str(run.last_step), str(run.jobs), time_text(run.last))
                for run in answer.runs
            ],
        )
    if parsed.json is not None:
        write_output("--json", parsed.json, answer_to_json(answer, indent=1).decode() + "\n")
    return 0


_STEPS = ("step", "policy", "job", "state", "split", "MRR", "Hits@1", "Hits@10", "labels")


def _steps(run: Run) -> list[tuple[str, ...]]:
    rows = []
    for step in run.steps:
        policy = f"{step.policy.name} ({step.policy.sha256[:12]})"
        labels = ", ".join(f"{name}={text}" for name, text in step.labels.items())
        for job in step.jobs or (None,):
            metrics = ("", "", "")
            if job is not None:
                shares = [share_text(name, job.metrics, job.intervals) for name in ("hits@1", "hits@10")]
                metrics = (mrr_text(job.metrics, job.intervals), *shares)
            of_job = ("", "", "") if job is None else (job.id, job.state, job.request.split or "queries")
            rows.append((str(step.step), policy, *of_job, *metrics, labels))
    return rows
