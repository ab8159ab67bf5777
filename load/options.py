"""The options of a locust run, and its objective; each may also be set in the environment."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from load.summary import Objective
from load.triples import DATASET, POLICY

SHAPES = ("steady", "ramp")


def add_options(parser: ArgumentParser) -> None:
    """Adds the options to those of locust."""
    group = parser.add_argument_group("proofrank")
    for name, kind, default, meaning in (
        ("--dataset", str, str(DATASET), "folder of the dataset that the server serves"),
        (
            "--policy",
            str,
            "",
            "checkpoint that the training job uploads; for the package's dataset, the package's; otherwise none",
        ),
        ("--rate", float, 5.0, "single queries a second, at the end of a ramp"),
        ("--corruptions", int, 50, "corruptions of each query"),
        ("--sample", int, 8, "triples of the valid split that a training job ranks at once"),
        ("--most-p95-ms", float, None, "objective: 95th percentile of the single queries, milliseconds"),
        (
            "--most-errors",
            float,
            0.0,
            "objective: share of requests neither answered nor refused, of all users",
        ),
        ("--most-refusals", float, None, "objective: share of single queries that are refused"),
        ("--least-rate", float, None, "objective: single queries answered a second"),
    ):
        variable = f"PROOFRANK_LOAD_{name.removeprefix('--').replace('-', '_').upper()}"
        group.add_argument(name, type=kind, default=default, help=meaning, env_var=variable)  # type: ignore[call-arg]
    group.add_argument(
        "--shape",
        choices=SHAPES,
        default=SHAPES[0],
        help="arrivals: at a constant rate, or at one that rises over the whole of --run-time",
        env_var="PROOFRANK_LOAD_SHAPE",  # type: ignore[call-arg]
    )


def policy_folder(options: Namespace) -> Path | None:
    """Returns the checkpoint that the training job uploads, or None if none is known to fit."""
    if options.policy:
        return Path(options.policy)
    return POLICY if Path(options.dataset) == DATASET else None


def objective_of(options: Namespace) -> Objective:
    """Returns the objective for single queries."""
    return Objective(options.most_p95_ms, options.most_errors, options.most_refusals, options.least_rate)
