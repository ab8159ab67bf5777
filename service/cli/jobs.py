"""``proofrank jobs``: the jobs of a server, the newest first."""

from __future__ import annotations

import argparse
from pathlib import Path

from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.listings import mrr_text, print_rows, time_text
from proofrank.service.cli.ranking_options import positive
from proofrank.service.cli.server_options import add_server, make_client
from proofrank.service.client import Job
from proofrank.service.wire import JOB_STATES, JobList, answer_to_json


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    parser.add_argument("--run", dest="training_run", metavar="RUN", help="only jobs of this training run")
    parser.add_argument("--state", choices=JOB_STATES, help="only jobs in this state")
    parser.add_argument(
        "--limit", type=positive, default=20, metavar="N", help="at most, up to 100 (default: 20)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the server's answer to FILE")
    add_server(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    check_writable("--json", parsed.json)
    with make_client(parsed) as client:
        jobs = client.jobs(limit=parsed.limit, state=parsed.state, run=parsed.training_run)
    print_rows(
        ("job", "state", "done", "split", "scores", "engine", "MRR", "policy", "run", "step", "created"),
        map(_row, jobs),
    )
    if parsed.json is not None:
        write_output("--json", parsed.json, answer_to_json(JobList(jobs), indent=1).decode() + "\n")
    return 0


def _row(job: Job) -> tuple[str, ...]:
    return (
        job.id,
        job.state,
        f"{job.progress.queries_done}/{job.progress.queries}",
        job.request.split or "queries",
        job.request.scoring_kind,
        job.engine or "",
        mrr_text(job.metrics, job.intervals),
        job.policy.name,
        job.run or "",
        "" if job.step is None else str(job.step),
        time_text(job.created),
    )
