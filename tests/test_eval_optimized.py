"""The optimised evaluator against the original: under pytest, and as a program with a short table for each question.

    python tests/test_eval_optimized.py --performance --n-test-queries 20 --n-corruptions 50
    python tests/test_eval_optimized.py --seed-test --num-seeds 3
    python tests/test_eval_optimized.py --check-compile
    python tests/test_eval_optimized.py --compiled-smoke

It needs ``core`` alone and exits with 1 when it finds a discrepancy.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

try:
    from pytest import mark
except ImportError:  # as a program it needs none
    mark = None

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from benchmarks.common import (  # noqa: E402
    SHARED,
    Workload,
    interleaved,
    load_workload,
    median,
    print_table,
    random_policy,
)
from proofrank.core.default import DATASET, POLICY  # noqa: E402
from proofrank.core.evaluator import CompiledEvaluator, ReferenceEvaluator, default_device  # noqa: E402
from proofrank.core.evaluator.artifacts import compile_counts  # noqa: E402
from proofrank.core.evaluator.diff import differences  # noqa: E402
from proofrank.core.evaluator.options import EvaluatorOptions  # noqa: E402
from proofrank.core.prover import Candidate  # noqa: E402
from proofrank.core.ranking import aggregate, rank_queries  # noqa: E402

NUM_LANES = 64
NUM_BATCHES = 200


def has_same_results(workload: Workload, evaluators: Sequence[CompiledEvaluator]) -> bool:
    """Prints MRR and differing outcomes of each engine; whether all agree with the original."""
    original = ReferenceEvaluator(workload.dataset, workload.policy, workload.settings)
    wanted = aggregate(rank_queries(original, workload.queries)).mrr
    rows = []
    for evaluator in evaluators:
        found = differences(evaluator, original, workload.candidates)
        mrr = aggregate(rank_queries(evaluator, workload.queries)).mrr
        rows.append(
            {"engine": evaluator.engine, "MRR": mrr, "original's": wanted, "outcomes differ": len(found)}
        )
    print_table(rows)
    return all(row["outcomes differ"] == 0 and row["MRR"] == wanted for row in rows)


def performance(workload: Workload, evaluators: Sequence[CompiledEvaluator]) -> bool:
    """Prints milliseconds a query side by side; whether the results are those of the original."""
    original = ReferenceEvaluator(workload.dataset, workload.policy, workload.settings)
    candidates = workload.candidates
    for evaluator in evaluators:
        evaluator.warm_up()
    contestants = {engine.engine: engine for engine in (original, *evaluators)}
    seconds = interleaved(
        {name: lambda engine=engine: engine.evaluate(candidates) for name, engine in contestants.items()}, 3
    )
    base = median(seconds["original"])
    print_table(
        [
            {
                "engine": name,
                "ms per query": median(times) / len(workload.queries) * 1e3,
                "times the original": base / median(times),
            }
            for name, times in seconds.items()
        ]
    )
    return has_same_results(workload, evaluators)


def seed_test(
    workload: Workload, num_seeds: int, modes: Sequence[str], *, fullgraph: bool, device: str | None = None
) -> bool:
    """Compares with the original for untrained policies of several seeds; whether all agree."""
    is_same = True
    for seed in range(num_seeds):
        policy = random_policy(workload.dataset, workload.policy, seed)
        own = Workload(workload.dataset, policy, workload.settings, workload.queries)
        print(f"seed {seed}")
        is_same &= has_same_results(own, make_evaluators(own, modes, fullgraph=fullgraph, device=device))
    return is_same


def check_compile(workload: Workload, mode: str, *, fullgraph: bool, device: str | None = None) -> bool:
    """Prints graph breaks, nodes and recompiles over odd-sized batches; whether it compiled, with none of them."""
    torch._dynamo.reset()
    before = compile_counts()
    evaluator = make_evaluators(workload, [mode], fullgraph=fullgraph, device=device)[0]
    evaluator.warm_up()
    warm = compile_counts()
    candidates = workload.candidates
    for number in range(NUM_BATCHES):
        size = 1 + (number * 37) % min(len(candidates), 300)
        evaluator.evaluate(candidates[:size])
    after = compile_counts()
    recompiles = after.graphs - warm.graphs
    num_breaks = after.graph_breaks - before.graph_breaks
    print_table(
        [
            {
                "engine": evaluator.engine,
                "graphs": warm.graphs - before.graphs,
                "nodes": warm.nodes - before.nodes,
                "graph breaks": num_breaks,
                f"recompiles in {NUM_BATCHES} batches": recompiles,
            }
        ]
    )
    # Without a compiler the evaluator goes on in eager mode, where there is nothing to count.
    is_compiled = evaluator.mode.compile_mode == mode and warm.graphs > before.graphs
    return is_compiled and recompiles == 0 and (num_breaks == 0 or not fullgraph)


def compiled_smoke(workload: Workload, mode: str, *, fullgraph: bool, device: str | None = None) -> bool:
    """Prints the time to compile with an empty cache; whether it did and a few outcomes are right."""
    with tempfile.TemporaryDirectory() as cache:
        evaluator = CompiledEvaluator(
            workload.dataset,
            workload.policy,
            workload.settings,
            EvaluatorOptions(
                buckets=(NUM_LANES,),
                cache_folder=Path(cache),
                device=torch.device(device or default_device()),
            ),
            compile_mode=mode,
            fullgraph=fullgraph,
        )
        began = time.perf_counter()
        evaluator.warm_up()
        print_table([{"engine": evaluator.engine, "compile s": time.perf_counter() - began}])
        original = ReferenceEvaluator(workload.dataset, workload.policy, workload.settings)
        is_compiled = evaluator.mode.compile_mode == mode
        return is_compiled and not differences(evaluator, original, workload.candidates[:50])


def make_evaluators(
    workload: Workload, modes: Sequence[str], *, fullgraph: bool, device: str | None = None
) -> list[CompiledEvaluator]:
    """A vectorised evaluator for each mode, of one bucket; on CUDA where there is a card and no ``device`` is given."""
    return [
        CompiledEvaluator(
            workload.dataset,
            workload.policy,
            workload.settings,
            EvaluatorOptions(device=torch.device(device or default_device()), buckets=(NUM_LANES,)),
            compile_mode=mode,
            fullgraph=fullgraph,
        )
        for mode in modes
    ]


def test_the_optimised_evaluator_ranks_as_the_original_does() -> None:
    workload = load_workload(DATASET, POLICY, 8, 10, "both")
    assert has_same_results(workload, make_evaluators(workload, ["eager"], fullgraph=True))


def test_it_does_so_for_untrained_policies_of_several_seeds() -> None:
    workload = load_workload(DATASET, POLICY, 4, 5, "both")
    assert seed_test(workload, 3, ["eager"], fullgraph=True)


def test_a_broken_engine_is_a_discrepancy() -> None:
    workload = load_workload(DATASET, POLICY, 3, 3, "tail")
    evaluator = make_evaluators(workload, ["eager"], fullgraph=True)[0]
    other = random_policy(workload.dataset, workload.policy, seed=1)
    evaluator.load_policy(other)
    assert not has_same_results(workload, [evaluator])


def test_one_candidate_alone_is_evaluated_too() -> None:
    workload = load_workload(DATASET, POLICY, 1, 0, "tail")
    evaluator = make_evaluators(workload, ["eager"], fullgraph=True)[0]
    candidate = Candidate(workload.queries[0].triple, is_positive=True)
    assert evaluator.evaluate([candidate])[0].success


def test_a_compiler_that_is_missing_is_a_discrepancy() -> None:
    # Nothing is compiled in eager mode either: no graph, and so no graph break and no recompile to be seen.
    workload = load_workload(DATASET, POLICY, 1, 1, "tail")
    assert not check_compile(workload, "eager", fullgraph=True)


def test_a_compiled_tick_has_no_graph_break_and_no_recompile() -> None:
    workload = load_workload(DATASET, POLICY, 4, 10, "both")
    assert check_compile(workload, "default", fullgraph=True)


if mark is not None:
    mark.slow(test_a_compiled_tick_has_no_graph_break_and_no_recompile)


def main() -> int:
    """Answers the questions that the flags ask; 1 where an answer is a discrepancy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    is_shared = (SHARED / "truth" / "family-seed0").is_dir()
    parser.add_argument("--dataset", type=Path, default=SHARED / "data" / "family" if is_shared else DATASET)
    parser.add_argument(
        "--policy", type=Path, default=SHARED / "truth" / "family-seed0" if is_shared else POLICY
    )
    parser.add_argument("--performance", action="store_true", help="milliseconds a query, side by side")
    parser.add_argument("--seed-test", action="store_true", help="untrained policies of several seeds")
    parser.add_argument("--check-compile", action="store_true", help="graph breaks, nodes and recompiles")
    parser.add_argument("--compiled-smoke", action="store_true", help="time to compile")
    parser.add_argument("--skip-compiled", action="store_true", help="only engines that compile nothing")
    parser.add_argument("--fullgraph", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--mode", default="default", help="the compile mode (default: default)")
    parser.add_argument("--device", default=default_device(), help="default: CUDA where there is a card")
    parser.add_argument("--n-test-queries", type=int, default=20)
    parser.add_argument("--n-corruptions", type=int, default=50)
    parser.add_argument("--num-seeds", type=int, default=3)
    parsed = parser.parse_args()
    workload = load_workload(
        parsed.dataset, parsed.policy, parsed.n_test_queries, parsed.n_corruptions, "both"
    )
    modes = ["eager"] if parsed.skip_compiled else ["eager", parsed.mode]
    fullgraph, device = parsed.fullgraph, parsed.device

    def evaluators() -> list[CompiledEvaluator]:
        return make_evaluators(workload, modes, fullgraph=fullgraph, device=device)

    answers = []
    if parsed.performance:
        answers.append(performance(workload, evaluators()))
    if parsed.seed_test:
        answers.append(seed_test(workload, parsed.num_seeds, modes, fullgraph=fullgraph, device=device))
    if parsed.check_compile and not parsed.skip_compiled:
        answers.append(check_compile(workload, parsed.mode, fullgraph=fullgraph, device=device))
    if parsed.compiled_smoke and not parsed.skip_compiled:
        answers.append(compiled_smoke(workload, parsed.mode, fullgraph=fullgraph, device=device))
    if not answers:
        answers.append(has_same_results(workload, evaluators()))
    print("agrees with the original" if all(answers) else "DISCREPANCY")
    return 0 if all(answers) else 1


if __name__ == "__main__":
    raise SystemExit(main())
