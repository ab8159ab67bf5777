"""``proofrank metrics``: metrics of stored ranks, by PyKEEN's names."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from proofrank.core.choices import SIDES, TIE_POLICIES
from proofrank.core.rank_metrics import RankMetrics, metric_key
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.ranking_options import add_hits_at
from proofrank.service.ranking.to_rank_metrics import read_rank_metrics

_TYPES = ("optimistic", "realistic", "pessimistic")


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = f"{__doc__} Nothing is ranked again."
    parser.add_argument(
        "results",
        type=Path,
        metavar="RESULTS",
        help="FILE.jsonl or FILE.parquet of 'evaluate --results', the JSON of 'evaluate --json --rankings', or the "
        "JSON, CSV or Parquet of a job's results",
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="print this metric alone, [macro.][SIDE.][TYPE.]METRIC, such as adjusted_hits_at_10 or macro.tail.mrr; "
        "may be repeated",
    )
    add_hits_at(parser)
    parser.add_argument("--macro", action="store_true", help="let each relation count alike")
    parser.add_argument("--side", default="both", choices=(*SIDES, "both"), help="rankings that count")
    parser.add_argument(
        "--ties",
        choices=TIE_POLICIES,
        help="rank that counts in a name without one (default: that of the evaluation)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the metrics to FILE")


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    check_writable("--json", parsed.json)
    keys = [metric_key(name) for name in parsed.metric]
    metrics, protocol = read_rank_metrics(parsed.results, parsed.ties)
    if keys:
        found = {name: metrics.value(key) for name, key in zip(parsed.metric, keys, strict=True)}
        written = found
        for name, value in found.items():
            Console(highlight=False, markup=False, soft_wrap=True).print(f"{name} {_shown(value)}")
    else:
        written = {
            rank_type: metrics.to_dict(
                parsed.hits_at, macro=parsed.macro, side=parsed.side, rank_type=rank_type
            )
            for rank_type in _TYPES
        }
        _print(parsed, metrics, written)
    if parsed.json is not None:
        content = {"protocol": dict(protocol), "macro": parsed.macro, "side": parsed.side, "metrics": written}
        write_output("--json", parsed.json, json.dumps(content, indent=1) + "\n")
    return 0


def _print(
    parsed: argparse.Namespace, metrics: RankMetrics, by_type: dict[str, dict[str, float | None]]
) -> None:
    macro = ", each relation alike" if parsed.macro else ""
    table = Table(
        title=f"{parsed.results}, sides {parsed.side}{macro}: metrics by type of rank",
        caption=f"{len(metrics)} rankings; - where chance has no spread to adjust for",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("")
    for rank_type in _TYPES:
        table.add_column(rank_type, justify="right")
    for name in by_type[_TYPES[0]]:
        table.add_row(name, *(_shown(by_type[rank_type][name]) for rank_type in _TYPES))
    Console(highlight=False, markup=False, soft_wrap=True).print(table)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
