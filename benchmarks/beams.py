"""What more trajectories of a candidate give, and cost: MRR by the width of the beam and by its score.

    python -m benchmarks.beams --queries 50 --json docs/benchmarks/beams-family.json
    python -m benchmarks.beams --dataset ../shared/data/umls --policy ../shared/truth/umls-seed0

Nothing is pruned, so that the work of all candidates is counted, and all scores are of the same trajectories. One
trajectory is compared with the greedy engine, outcome by outcome. ``--mrr-queries`` adds a table of the MRR of more
triples, for which candidates are pruned as usual.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.common import (
    SHARED,
    Workload,
    add_output,
    add_workload,
    arguments_of,
    load_workload,
    machine,
    print_table,
    write_output,
)
from proofrank.core.choices import BEAM_SCORES, HITS_AT
from proofrank.core.evaluator import create_evaluator
from proofrank.core.evaluator.beams import BeamEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Outcomes
from proofrank.core.prover.beams import Beam, BeamOutcome, outcome_of
from proofrank.core.ranking import Pruning, aggregate, rank_outcomes, rank_queries

WIDTHS = (1, 2, 4, 8)


def main() -> int:
    """Runs the benchmark; returns 1 if one trajectory is not the greedy one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_workload(parser, num_queries=50, num_repeats=1)
    parser.set_defaults(policy=SHARED / "policies" / "family-trained")
    parser.add_argument("--side", default="both")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--bucket", type=int, default=512)
    parser.add_argument("--mrr-queries", type=int, metavar="N", help="triples of a pruned evaluation")
    add_output(parser)
    parser.set_defaults(threads=1)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    workload = load_workload(parsed.dataset, parsed.policy, parsed.queries, parsed.corruptions, parsed.side)
    rows: list[dict[str, Any]] = []
    for width in parsed.widths:
        rows.append(_row(workload, width, parsed.bucket, rows[0] if rows else None))
        print(rows[-1], flush=True)
    print(machine())
    print_table(rows)
    pruned: list[dict[str, Any]] = []
    if parsed.mrr_queries is not None:
        more = load_workload(
            parsed.dataset, parsed.policy, parsed.mrr_queries, parsed.corruptions, parsed.side
        )
        pruned = _pruned_rows(more, parsed.widths, parsed.bucket)
        print_table(pruned)
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows, "pruned": pruned})
    return int(any(row["not greedy"] for row in rows))


def _row(workload: Workload, width: int, bucket: int, first: dict[str, Any] | None) -> dict[str, Any]:
    evaluator = BeamEvaluator(
        workload.dataset,
        workload.policy,
        workload.settings,
        Beam(width),
        EvaluatorOptions(buckets=(bucket,), pool_size=max(bucket, 2048)),
    )
    began, began_processor = time.perf_counter(), time.process_time()
    found = evaluator.prove(workload.candidates)
    seconds, processor_seconds = time.perf_counter() - began, time.process_time() - began_processor
    work = evaluator.work
    counts = {
        "states resolved": sum(one.num_resolved for one in found),
        "rows": work.rows_expanded,
        "states scored": work.states_scored,
    }
    of_scores = {f"MRR {score}": _metrics(workload, found, score).mrr for score in BEAM_SCORES}
    metrics = _metrics(workload, found, "max")
    num_proofs = [sum(one.success for one in outcome.trajectories) for outcome in found]
    return {
        "beam": width,
        **counts,
        **{f"times {name}": counts[name] / (first or counts)[name] for name in counts},
        "s": seconds,
        "processor s": processor_seconds,
        "positives proved": metrics.positives_proved,
        "corruptions proved": metrics.corruptions_proved,
        "proofs of a proved one": sum(num_proofs) / max(1, sum(number > 0 for number in num_proofs)),
        **of_scores,
        "not greedy": _num_not_greedy(workload, found) if width == 1 else 0,
    }


def _pruned_rows(workload: Workload, widths: Sequence[int], bucket: int) -> list[dict[str, Any]]:
    """The metrics of each width and score, where what cannot change them is left out."""
    pruning = Pruning("exact", compute_least_model(workload.dataset))
    rows: list[dict[str, Any]] = []
    for width in widths:
        for score in BEAM_SCORES if width > 1 else BEAM_SCORES[:1]:
            options = EvaluatorOptions(buckets=(bucket,), pool_size=max(bucket, 2048))
            beam = Beam(width, score)
            evaluator = BeamEvaluator(workload.dataset, workload.policy, workload.settings, beam, options)
            began = time.process_time()
            metrics = aggregate(rank_queries(evaluator, workload.queries, pruning=pruning))
            rows.append(
                {
                    "beam": width,
                    "score": score,
                    "rankings": metrics.rankings,
                    "MRR": metrics.mrr,
                    **{f"Hits@{k}": metrics.hits_at[k] for k in HITS_AT},
                    "positives proved": metrics.positives_proved,
                    "corruptions proved": metrics.corruptions_proved,
                    "processor s": time.process_time() - began,
                }
            )
            print(rows[-1], flush=True)
    return rows


def _metrics(workload: Workload, found: list[BeamOutcome], score: str) -> Any:
    outcomes = Outcomes.of(
        [
            outcome_of(
                one.trajectories,
                Beam(2, score),  # pyright: ignore[reportArgumentType]
                num_resolved=one.num_resolved,
                largest_logit=one.largest_logit,
            ).outcome
            for one in found
        ]
    )
    return aggregate(rank_outcomes(workload.queries, outcomes, seed=0, seconds=1.0))


def _num_not_greedy(workload: Workload, found: list[BeamOutcome]) -> int:
    """How many outcomes differ in a bit from those of the greedy engine."""
    greedy = create_evaluator("eager", workload.dataset, workload.policy, workload.settings, device="cpu")
    outcomes = greedy.evaluate(workload.candidates)
    return sum(one.outcome != other for one, other in zip(found, outcomes, strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
