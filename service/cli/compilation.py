"""``proofrank compile``: fill the folder of compiled artifacts ahead of time, for images and fast restarts."""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from proofrank.core.errors import ProofrankError
from proofrank.core.evaluator import CompiledEvaluator, default_device, settings_for
from proofrank.core.evaluator.artifacts import compile_counts
from proofrank.service.cli.options import (
    add_dataset_and_policy,
    add_engine,
    add_prover_settings,
    make_evaluator,
    prover_overrides,
    read_dataset,
    read_policy,
)
from proofrank.service.engine.serving_buckets import serving_buckets


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    add_dataset_and_policy(parser)
    add_engine(parser, default="default", is_for_a_server=True)
    parser.add_argument(
        "--buckets",
        type=_numbers,
        metavar="N,N",
        help="lanes of each bucket, as the server's setting (default: as the server without it)",
    )
    add_prover_settings(parser)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def run(parsed: argparse.Namespace) -> int:
    """Runs the command; prints the seconds of each bucket."""
    console = Console(highlight=False)
    dataset = read_dataset(parsed)
    policy = read_policy(parsed, dataset)
    settings = settings_for(policy, prover_overrides(parsed))
    # Those that the server will use, or it would compile after all.
    buckets = parsed.buckets or serving_buckets(parsed.device or default_device(), calibrate=parsed.calibrate)
    evaluator = make_evaluator(parsed, dataset, policy, settings, buckets)
    if not isinstance(evaluator, CompiledEvaluator):
        raise ProofrankError(f"engine {parsed.engine!r} has nothing to compile")
    began = time.perf_counter()
    evaluator.warm_up(lambda num_lanes: console.print(f"bucket of {num_lanes} lanes …"))
    counts = compile_counts()
    console.print(
        f"engine {evaluator.engine}: {time.perf_counter() - began:.1f} s, {counts.cache_misses} graphs compiled, "
        f"{counts.cache_hits} from the cache, {counts.graph_breaks} graph breaks"
    )
    return 0
