"""``--fail-below``: the least metrics that a command is content with, for the checks of training code."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping

from rich.console import Console

from proofrank.core.errors import ProofrankError
from proofrank.core.metric_names import METRICS, SMALLER_IS_BETTER, metric_names

EXIT_BELOW = 1

_METRICS = tuple(name for name in METRICS if name not in SMALLER_IS_BETTER)
"""Metrics of which a larger value is better; there is a Hits@k for every k."""

_HITS = re.compile(r"hits@[1-9]\d{0,8}")


def add_floors(parser: argparse.ArgumentParser) -> None:
    """Adds ``--fail-below``."""
    parser.add_argument(
        "--fail-below",
        type=_floor,
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help=f"exit with 1 if a metric over all rankings is below VALUE: one of {', '.join(_METRICS)}; may be repeated",
    )


def check_names_of_floors(parsed: argparse.Namespace) -> None:
    """Refuses a Hits@k whose k ``--hits-at`` does not have, before anything is ranked. Raises ProofrankError."""
    known = metric_names(parsed.hits_at)
    for name, _ in parsed.fail_below:
        if name not in known:
            ks = ",".join(map(str, parsed.hits_at))
            raise ProofrankError(f"--fail-below {name}: --hits-at is {ks}; add {name.removeprefix('hits@')}")


def check_floors(parsed: argparse.Namespace, metrics: Mapping[str, float | None], errors: Console) -> int:
    """Says which of ``metrics`` are too low, and returns the exit status."""
    status = 0
    for name, least in parsed.fail_below:
        value = metrics[name]
        if value is None or value < least:
            shown = "not defined here" if value is None else f"{value:.6g}"
            errors.print(f"{name} is {shown}; --fail-below asks for {least:g} or more", highlight=False)
            status = EXIT_BELOW
    return status


def _floor(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        least = float(value)
    except ValueError:
        least = math.nan
    if (name not in _METRICS and not _HITS.fullmatch(name)) or not math.isfinite(least):
        raise argparse.ArgumentTypeError(
            f"{text!r}; expected METRIC=VALUE with one of {', '.join(_METRICS)}, such as mrr=0.9"
        )
    return name, least
