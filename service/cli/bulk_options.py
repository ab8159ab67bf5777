"""The options of evaluations in shards, apart from what does them, which loads much."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from proofrank.core.choices import PruningLevel
from proofrank.core.errors import ProofrankError
from proofrank.service.cli.files import check_writable
from proofrank.service.cli.ranking_options import positive

_PROCESS, RAY = "process", "ray"
_FOR_RAY = ("address", "workers", "worker_cpus", "worker_gpus")


def add_bulk(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    group = parser.add_argument_group("long evaluations")
    group.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="write a row for each query and side to FILE.jsonl, or FILE.parquet, as they come; a FILE of the same "
        "evaluation is gone on with",
    )
    group.add_argument(
        "--trace", type=Path, metavar="FILE", help="write what each shard took to FILE, as JSON"
    )
    group.add_argument(
        "--queries-per-shard",
        type=positive,
        metavar="N",
        help="proved together (default: as suits the workers)",
    )
    group.add_argument(
        "--on",
        default=_PROCESS,
        choices=(_PROCESS, RAY),
        help=f"this process, or the workers of a Ray cluster (default: {_PROCESS})",
    )
    group.add_argument(
        "--address",
        metavar="ADDRESS",
        help="of the Ray cluster, or 'auto' (default: one of this machine alone)",
    )
    group.add_argument(
        "--workers", type=positive, metavar="N", help="at most (default: as many as the cluster has room for)"
    )
    group.add_argument("--worker-cpus", type=_amount, metavar="N", help="cores of a worker (default: 1)")
    group.add_argument(
        "--worker-gpus",
        type=_amount,
        metavar="N",
        help="GPUs of a worker, or a part of one (default: 1 where the cluster has GPUs, else 0)",
    )


def check_bulk(parsed: argparse.Namespace) -> None:
    """Refuses options that do not go together, and files that cannot be written.

    Raises:
        ProofrankError: says which.
    """
    for name in _FOR_RAY:
        if parsed.on != RAY and getattr(parsed, name) is not None:
            raise ProofrankError(f"--{name.replace('_', '-')} cannot be given here: it is for --on ray")
    if parsed.queries_per_shard is not None and not is_bulk(parsed):
        raise ProofrankError("--queries-per-shard is for --on ray, --results or --trace")
    if is_bulk(parsed) and parsed.mrr_tolerance is not None:
        raise ProofrankError(
            "--mrr-tolerance cannot be combined with --on ray, --results or --trace: these prove whole queries in "
            "shards, and with a tolerance what is proved next depends on all of them"
        )
    check_writable("--trace", parsed.trace)


def is_bulk(parsed: argparse.Namespace) -> bool:
    """Whether the evaluation is done in shards."""
    return parsed.on == RAY or parsed.results is not None or parsed.trace is not None


def pruning_level(parsed: argparse.Namespace) -> PruningLevel:
    """What may be left out; by default nothing where a trace is to show what all candidates take. Nothing where an
    embedding alone ranks.
    """
    if parsed.scoring == "embedding":
        return "none"
    return parsed.pruning or ("none" if parsed.trace is not None else "exact")


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number, 0 or more")
    return value
