"""``proofrank replay``: run the candidates of a recorded evaluation again and say where outcomes differ."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from proofrank.core.errors import counted
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.recordings import Recording, read_recording
from proofrank.core.evaluator.replay import Comparison, replay
from proofrank.core.policy import load_policy
from proofrank.core.ranking import rank_as_deepprooflog
from proofrank.service.cli.files import check_writable
from proofrank.service.cli.options import (
    add_engine,
    add_recorded_data,
    make_evaluator,
    recorded_dataset,
)
from proofrank.service.terminal.progress import progress_bar

EXIT_DIFFERS = 1


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = f"{__doc__} Exits with 1 if one differs that passes no near tie."
    parser.add_argument("folder", type=Path, metavar="FIXTURE_DIR", help="folder of the recording")
    add_recorded_data(parser)
    parser.add_argument(
        "--follow", action="store_true", help="take the recorded actions instead of the policy's"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write every outcome to FILE, a JSON object a line"
    )
    add_engine(parser, default="original")


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    recording = read_recording(parsed.folder)
    dataset = recorded_dataset(parsed, recording)
    policy = load_policy(parsed.folder, dataset)
    reference = ReferenceEvaluator(dataset, policy, recording.settings)
    check_writable("--out", parsed.out)
    evaluator = make_evaluator(parsed, dataset, policy, recording.settings)
    began = time.perf_counter()
    with progress_bar(Console(stderr=True), "candidates", len(recording.candidates)) as on_progress:
        comparisons = replay(
            recording, dataset, evaluator, reference, is_following=parsed.follow, on_progress=on_progress
        )
    seconds = time.perf_counter() - began
    if parsed.out is not None:
        _write(parsed.out, recording, comparisons)
    differing = [comparison for comparison in comparisons if comparison.difference]
    # Along the recorded actions there is no choice that rounding could settle.
    excused = [] if parsed.follow else [comparison for comparison in differing if comparison.is_excused]
    wrong = [comparison for comparison in differing if comparison not in excused]
    console = Console(highlight=False, markup=False, soft_wrap=True)
    how = "along the recorded actions" if parsed.follow else "freely"
    console.print(
        f"{parsed.folder.resolve().name}: {counted(len(comparisons), 'candidate')}, engine {evaluator.engine}, {how}, "
        f"{seconds:.1f} s"
    )
    console.print(
        f"agree {len(comparisons) - len(differing)}, near ties that went another way {len(excused)}, "
        f"differ {len(wrong)}"
    )
    console.print(_rank_line(recording))
    if wrong:
        first = wrong[0]
        predicate, head, tail = first.candidate.names
        console.print(f"first divergence: candidate {predicate}({head}, {tail}): {first.difference}")
    return EXIT_DIFFERS if wrong else 0


def _rank_line(recording: Recording) -> str:
    """Whether the recorded ranks follow from the recorded outcomes by our ranking code."""
    num_same = num_recorded = 0
    reciprocal: list[float] = []
    for side in ("head", "tail"):
        queries = [query for query in recording.queries if query.side == side]
        scores = [[candidate.score for candidate in query.candidates] for query in queries]
        for query, rank in zip(queries, rank_as_deepprooflog(scores), strict=True):
            num_recorded += query.random_rank is not None
            num_same += query.random_rank == rank
            reciprocal.append(1 / rank)
    mrr = sum(reciprocal) / len(reciprocal) if reciprocal else float("nan")
    recorded_mrr = recording.metrics.get("mrr_mean")
    against = f", recorded {recorded_mrr:.6f}" if isinstance(recorded_mrr, float) else ""
    return f"recorded outcomes give {num_same} of {num_recorded} recorded ranks and MRR {mrr:.6f}{against}"


def _write(path: Path, recording: Recording, comparisons: Sequence[Comparison]) -> None:
    remaining: Iterator[Comparison] = iter(comparisons)
    with path.open("w", encoding="utf-8") as file:
        for query in recording.queries:
            for _ in query.candidates:
                file.write(_line(query.names, query.side, next(remaining)) + "\n")


def _line(query: tuple[str, str, str], side: str, comparison: Comparison) -> str:
    outcome = comparison.outcome
    fields = {"query": query, "side": side, "candidate": comparison.candidate.names}
    if outcome is None:  # the recorded actions could not be followed
        return json.dumps({**fields, "error": comparison.difference}, ensure_ascii=False)
    return json.dumps(
        {
            **fields,
            "success": outcome.success,
            "logp": outcome.log_probability,
            "steps": outcome.steps,
            "actions": list(outcome.actions),
        },
        ensure_ascii=False,
    )
