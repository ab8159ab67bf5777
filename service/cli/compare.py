"""``proofrank compare``: how much the metrics of two evaluations differ, and which ranks changed."""

from __future__ import annotations

import argparse
from pathlib import Path

from proofrank.core.errors import ProofrankError
from proofrank.core.formats.depths import read_depths
from proofrank.service.cli.comparison_markdown import to_markdown
from proofrank.service.cli.comparison_tables import print_comparison
from proofrank.service.cli.extras import SERVER, require_extra
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.server_options import add_access, make_client
from proofrank.service.wire import Comparison, answer_to_json

EXIT_WORSE = 1

_CHANGES_SHOWN = 10


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = f"{__doc__} B is judged against A; differences are B less A."
    for name, what in (("a", "the evaluation to compare with"), ("b", "the evaluation that is judged")):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help=f"{what}: FILE.jsonl or FILE.parquet of 'evaluate --results', the JSON of 'evaluate --json "
            "--rankings' or of a job's results; or, with --server, the id of a job",
        )
    parser.add_argument(
        "--depths",
        type=Path,
        metavar="FILE",
        help="depths of the triples, for metrics by depth: a triple and a depth a line",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="share of the intervals that should hold the true difference (default: 0.95)",
    )
    parser.add_argument(
        "--resamples",
        type=int,
        metavar="N",
        help="of the bootstrap (default: 2000 to 20000, the more the fewer triples there are)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    parser.add_argument(
        "--changes",
        type=int,
        default=_CHANGES_SHOWN,
        metavar="N",
        help=f"changed rankings to show, the worst first (default: {_CHANGES_SHOWN})",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the comparison to FILE")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the tables to FILE, as for a pull request"
    )
    parser.add_argument(
        "--fail-if-worse",
        action="store_true",
        help="exit with 1 if the whole interval of the difference of MRR lies below 0",
    )
    server = parser.add_argument_group("server")
    server.add_argument("--server", metavar="URL", help="A and B are jobs of this server")
    add_access(server)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    check_writable("--json", parsed.json)
    check_writable("--markdown", parsed.markdown)
    comparison = _of_files(parsed) if parsed.server is None else _of_jobs(parsed)
    if parsed.json is not None:
        write_output("--json", parsed.json, answer_to_json(comparison, indent=1).decode() + "\n")
    if parsed.markdown is not None:
        write_output("--markdown", parsed.markdown, to_markdown(comparison, parsed.changes))
    print_comparison(comparison, parsed.changes)
    return EXIT_WORSE if parsed.fail_if_worse and comparison.is_worse else 0


def _of_files(parsed: argparse.Namespace) -> Comparison:
    with require_extra("compare of files", SERVER):
        from proofrank.core.comparison import compare_rankings
        from proofrank.service.ranking.to_rankings import read_rankings, to_comparison
    depths = None if parsed.depths is None else read_depths(parsed.depths)
    found = compare_rankings(
        read_rankings(Path(parsed.a)),
        read_rankings(Path(parsed.b)),
        depths=depths,
        confidence=parsed.confidence,
        resamples=parsed.resamples,
        seed=parsed.seed,
    )
    return to_comparison(found)


def _of_jobs(parsed: argparse.Namespace) -> Comparison:
    if parsed.depths is not None:
        raise ProofrankError("--depths cannot be given here: it is for files of results")
    with make_client(parsed, parsed.server) as client:
        return client.compare(
            parsed.a,
            parsed.b,
            confidence=parsed.confidence,
            resamples=parsed.resamples,
            seed=parsed.seed,
        )
