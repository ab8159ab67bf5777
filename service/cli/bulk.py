"""``proofrank evaluate`` in shards: on Ray or in this process, with results that are written as they come."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

from rich.console import Console

from proofrank.core.errors import counted
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.protocols import protocol_fields
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import (
    Corruptor,
    LazyQueries,
    Pruning,
    PruningCounts,
    Report,
    ReportTally,
    Scoring,
    pruning_of,
    sides_of,
)
from proofrank.interval_evaluation import depths_beside
from proofrank.service.bulk.identity import Identity, identity_of
from proofrank.service.bulk.results import ResultsFile, open_results
from proofrank.service.bulk.shards import ShardResult, cut_shards, prove_shard
from proofrank.service.bulk.trace import Trace
from proofrank.service.cli.bulk_options import RAY, pruning_level
from proofrank.service.cli.files import write_output
from proofrank.service.cli.options import engine_options, make_evaluator
from proofrank.service.cli.queries import drawn_work
from proofrank.service.cli.ranking_options import ranking_rules
from proofrank.service.cli.scoring_options import is_embedding_alone
from proofrank.service.cli.tables import pruning_line
from proofrank.service.jobs.job import StoredRanking
from proofrank.service.terminal.progress import progress_bar


def evaluate_in_shards(
    parsed: argparse.Namespace,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    scoring: Scoring | None,
    errors: Console,
) -> tuple[Report, str, dict[str, Any], Corruptor]:
    """The metrics of the evaluation that the options ask for, the name of what evaluated, what was left out, and what
    drew the corruptions.

    The metrics are those of one evaluation at once, whatever the shards, their order and interruptions.

    Raises:
        ProofrankError: the options, the cluster or the files do not allow it.
    """
    work = drawn_work(parsed, dataset)
    level = pruning_level(parsed)
    protocol = protocol_fields(ranking_rules(parsed), work.corruptor)
    identity = identity_of(parsed, dataset, policy, settings, level, protocol, scoring)
    pruning = pruning_of(level, dataset, parsed.cache_folder or default_cache_folder())
    depths = depths_beside(dataset, work.triples, (parsed.split,), parsed.cache_folder)
    tally, trace, counts = ReportTally(parsed.ties, parsed.hits_at), Trace(), PruningCounts()
    with ExitStack() as until_done:
        results = None
        if parsed.results is not None:
            results = until_done.enter_context(
                open_results(parsed.results, identity, len(sides_of(parsed.side)))
            )
        done = _tally_stored(results, tally, depths)
        if done:
            _print_line(
                f"{parsed.results}: {len(done)} of {counted(len(work.triples), 'query', 'queries')} are done; going on",
                errors,
            )
        if parsed.on == RAY:
            proved, num_workers = _on_ray(parsed, work, policy, settings, pruning, scoring, done, until_done)
        else:
            proved, num_workers = _in_this_process(parsed, work, policy, settings, pruning, scoring, done), 1
        if parsed.trace is not None:
            # Also of an evaluation that is interrupted.
            until_done.callback(_write_trace, trace, parsed, identity, num_workers)
        sizes = [work.num_candidates(index) for index in range(len(work.triples))]
        num_done = sum(sizes[index] for index in done)
        show = until_done.enter_context(progress_bar(errors, "candidates", sum(sizes)))
        show(num_done)
        engine = parsed.engine
        for result in proved:
            engine = result.engine
            if results is not None and trace.is_empty:
                _warn_of_another_engine(results, engine, errors)
            trace.add(result)
            if results is not None:
                results.add(result.rankings)
            _tally(result.rankings, tally, depths)
            counts += result.counts
            num_done += result.candidates
            show(num_done)
    if parsed.on == RAY:
        engine = f"{engine} on {num_workers} Ray workers"
        if not trace.is_empty:
            _print_balance(trace, num_workers, errors)
    if pruning is not None:
        _print_line(pruning_line(counts.evaluated, counts.unprovable, counts.fallen_behind), errors)
    left_out = counts.to_dict(level)
    if done:
        # What the runs before have left out is not in the file.
        left_out = {name: value if name == "level" else None for name, value in left_out.items()}
    return tally.report(dataset.vocabulary.predicates), engine, left_out, work.corruptor


def _tally_stored(results: ResultsFile | None, tally: ReportTally, depths: Sequence[str] | None) -> set[int]:
    """Counts the rankings that are in the file; the places of their queries."""
    stored = results.resume() if results is not None else []
    _tally(stored, tally, depths)
    return {ranking.summary.query_index for ranking in stored}


def _tally(rankings: Sequence[StoredRanking], tally: ReportTally, depths: Sequence[str] | None) -> None:
    for ranking in rankings:
        depth = None if depths is None else depths[ranking.summary.query_index]
        tally.add(ranking.relation, ranking.summary, depth)


def _in_this_process(
    parsed: argparse.Namespace,
    work: LazyQueries,
    policy: Policy,
    settings: ProverSettings,
    pruning: Pruning | None,
    scoring: Scoring | None,
    done: set[int],
) -> Iterator[ShardResult]:
    shards = cut_shards(work, 1, parsed.queries_per_shard, done)
    evaluator = None
    if not is_embedding_alone(parsed):
        evaluator = make_evaluator(parsed, work.corruptor.dataset, policy, settings)
    return (prove_shard(evaluator, work, shard, pruning, scoring) for shard in shards)


def _on_ray(
    parsed: argparse.Namespace,
    work: LazyQueries,
    policy: Policy,
    settings: ProverSettings,
    pruning: Pruning | None,
    scoring: Scoring | None,
    done: set[int],
    until_done: ExitStack,
) -> tuple[Iterator[ShardResult], int]:
    from proofrank.service.on_ray.cluster import connected

    until_done.enter_context(connected(parsed.address))
    # Imported here, for it needs Ray, of which the line above has made sure.
    from proofrank.service.on_ray.bulk import WorkerPool, proved_on_ray

    pool = WorkerPool.of(parsed.workers, parsed.worker_cpus, parsed.worker_gpus)
    shards = cut_shards(work, pool.number, parsed.queries_per_shard, done)
    if not shards:
        return iter(()), pool.number
    proved = proved_on_ray(shards, work, policy, settings, engine_options(parsed), pool, pruning, scoring)
    # However the evaluation ends, it ends before Ray: whatever called Ray afterwards would start another.
    until_done.enter_context(closing(proved))
    return proved, pool.number


def _write_trace(trace: Trace, parsed: argparse.Namespace, identity: Identity, num_workers: int) -> None:
    write_output("--trace", parsed.trace, trace.to_json(identity, parsed.on, num_workers))


def _warn_of_another_engine(results: ResultsFile, engine: str, errors: Console) -> None:
    noted = results.noted_engine(engine)
    if noted != engine:
        _print_line(
            f"warning: the results were begun by engine {noted}, and {engine} goes on: engines differ in rounding, "
            "by which about one choice in 100,000 is another",
            errors,
        )


def _print_balance(trace: Trace, num_workers: int, errors: Console) -> None:
    balance = trace.balance(num_workers)
    _print_line(
        f"{balance.workers} workers proved {balance.shards} shards, busy {balance.busy_share:.1%} of the time; "
        f"{1000 * balance.mean_idle_seconds:.0f} ms between two shards; "
        f"the last worker ended {balance.late_seconds:.2f} s after the first",
        errors,
    )


def _print_line(text: str, errors: Console) -> None:
    errors.print(text, highlight=False, markup=False, soft_wrap=True)
