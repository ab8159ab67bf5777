"""``proofrank evaluate``: the metrics of a policy on a split, and the proof of one triple."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from proofrank.core.choices import unused_pruning
from proofrank.core.comparison import Protocol
from proofrank.core.errors import ProofrankError, counted
from proofrank.core.evaluator import Evaluator, settings_for
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.evaluator.engines import check_engine
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.protocols import check_tolerance_of, protocol_fields
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import (
    PROOF_SCORING,
    Corruptor,
    LazyQueries,
    PruningCounts,
    RankedQuery,
    Scoring,
    check_level,
    pruning_of,
    rank_queries,
    report,
)
from proofrank.in_process import (
    NO_ENGINE,
    TripleRanking,
    evaluation_to_dict,
    explain,
    triple_ranking,
    with_note,
)
from proofrank.interval_evaluation import depths_beside, interval_evaluation
from proofrank.service.cli.bulk_options import RAY, add_bulk, check_bulk, is_bulk, pruning_level
from proofrank.service.cli.files import check_writable, write_output
from proofrank.service.cli.floors import add_floors, check_floors, check_names_of_floors
from proofrank.service.cli.options import (
    add_dataset_and_policy,
    add_engine,
    add_prover_settings,
    engine_options,
    make_evaluator,
    other_graph,
    prover_overrides,
    read_dataset,
    read_policy,
    say_files,
)
from proofrank.service.cli.queries import add_queries, drawn_work
from proofrank.service.cli.ranking_options import (
    add_beam,
    add_hits_at,
    add_protocol,
    add_pruning,
    add_ties,
    add_tolerance,
    ranking_rules,
    ranking_words,
    settle_protocol,
)
from proofrank.service.cli.scoring_options import (
    add_scoring,
    check_scoring,
    is_embedding_alone,
    read_scoring,
    scoring_words,
)
from proofrank.service.cli.tables import print_intervals, print_metrics, pruning_line
from proofrank.service.cli.understood import matches_a_rule
from proofrank.service.terminal.progress import progress_bar
from proofrank.service.terminal.trees import fit_tree


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    add_dataset_and_policy(parser)
    add_engine(parser, default="auto")
    add_queries(parser, default_number=None)
    add_ties(parser)
    add_hits_at(parser)
    add_protocol(parser, has_files=True)
    add_pruning(parser, default="exact; ranks with --mrr-tolerance; none with --trace")
    add_tolerance(parser)
    add_scoring(parser)
    add_beam(parser)
    parser.add_argument(
        "--facts",
        type=Path,
        metavar="DIR",
        help="rank in another graph with the same relations: its facts and triples, and the rules of --dataset; the "
        "policy must embed all constants alike",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the metrics to FILE")
    parser.add_argument(
        "--rankings",
        action="store_true",
        help="write the rankings to the --json file too, for proofrank compare",
    )
    add_floors(parser)
    parser.add_argument(
        "--explain",
        nargs=3,
        metavar=("HEAD", "RELATION", "TAIL"),
        help="print the proof of this triple instead of ranking a split; a triple of the graph is taken as the "
        "positive of its query and not used as a fact",
    )
    parser.add_argument(
        "--without-seconds",
        action="store_true",
        help="leave times out of the --json file, so that equal evaluations write equal files",
    )
    add_bulk(parser)
    add_prover_settings(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    console, errors = Console(), Console(stderr=True)
    if parsed.explain is None:
        settle_protocol(parsed)
        check_bulk(parsed)
        _check_rankings(parsed)
        check_scoring(parsed)
        if (note := unused_pruning(parsed.pruning, parsed.scoring)) is not None:
            errors.print(note, highlight=False, markup=False, soft_wrap=True)
        check_names_of_floors(parsed)
        check_writable("--json", parsed.json)
    options = engine_options(parsed)
    if parsed.on == RAY:  # whose workers have devices of their own
        check_engine(options.engine, options.beam)
    else:
        options.check()
    dataset = read_dataset(parsed)
    dataset, policy = other_graph(parsed, dataset, read_policy(parsed, dataset))
    settings = settings_for(policy, prover_overrides(parsed))
    if parsed.explain is not None:
        head, relation, tail = parsed.explain
        proof = explain(
            dataset,
            policy,
            (head, relation, tail),
            prover=prover_overrides(parsed),
            beam=parsed.beam,
            beam_score=parsed.beam_score,
        )
        say_files(dataset)
        console.print(fit_tree(proof.text, sys.stdout), markup=False, highlight=False, soft_wrap=True)
        return 0
    scoring = read_scoring(parsed, dataset, policy)
    if scoring is not None and scoring.warning is not None:
        errors.print(f"warning: {scoring.warning}", highlight=False, markup=False, soft_wrap=True)
    if parsed.mrr_tolerance is not None:
        return _evaluate_to_tolerance(parsed, dataset, policy, settings, scoring, errors)
    rankings: list[TripleRanking] | None = None
    if is_bulk(parsed):
        # Imported here, for it needs what the server needs, and every command would start later.
        from proofrank.service.cli.bulk import evaluate_in_shards

        say_files(dataset)
        _say_ranking(parsed, dataset, errors)
        metrics, engine, pruning, corruptor = evaluate_in_shards(
            parsed, dataset, policy, settings, scoring, errors
        )
    else:
        evaluator = None if is_embedding_alone(parsed) else make_evaluator(parsed, dataset, policy, settings)
        say_files(dataset)
        work = drawn_work(parsed, dataset)
        _say_ranking(parsed, dataset, errors, work)
        corruptor = work.corruptor
        ranked, pruning = _evaluate(parsed, dataset, work, evaluator, scoring, errors)
        triples = {query.query_index: query.query for query in ranked}
        depths = depths_beside(dataset, list(triples.values()), (parsed.split,), parsed.cache_folder)
        metrics = report(ranked, dataset, parsed.ties, depths, parsed.hits_at)
        if parsed.rankings:
            rankings = [triple_ranking(query, dataset, parsed.ties) for query in ranked]
        engine = NO_ENGINE if evaluator is None else evaluator.engine
    if parsed.json is not None:
        written = evaluation_to_dict(
            metrics,
            dataset=(dataset.name, dataset.content_hash),
            policy=(policy.name, policy.content_hash),
            warnings=dataset.warnings,
            pruning=with_note(pruning, unused_pruning(parsed.pruning, parsed.scoring)),
            protocol=_protocol(parsed, corruptor),
            rankings=rankings,
            scoring=PROOF_SCORING if scoring is None else scoring.to_dict(),
        )
        _write(parsed, written)
    title = f"{dataset.name} {parsed.split}, policy {policy.name}, engine {engine}{_beam_words(parsed)}"
    title += _scoring_words(scoring)
    print_metrics(metrics, title, metrics.by_depth)
    return check_floors(parsed, metrics.overall.to_dict(), errors)


def _say_ranking(
    parsed: argparse.Namespace, dataset: Dataset, errors: Console, work: LazyQueries | None = None
) -> None:
    """Says what is ranked against what, and how many of the triples of ``work`` no rule concludes."""
    words = ranking_words(parsed, bool(dataset.domains))
    triples = () if work is None or is_embedding_alone(parsed) else work.triples
    num_without = sum(not matches_a_rule(triple, dataset) for triple in triples)
    if num_without:
        words += (
            f"; no rule concludes {num_without} of {counted(len(triples), 'triple')}, which cannot be proved"
        )
    errors.print(words, highlight=False, markup=False, soft_wrap=True)


def _beam_words(parsed: argparse.Namespace) -> str:
    return f", beam {parsed.beam} {parsed.beam_score}" if parsed.beam > 1 else ""


def _scoring_words(scoring: Scoring | None) -> str:
    if scoring is None:
        return ""
    source = scoring.source
    return scoring_words(scoring.kind, f"{source.kind} {source.name}", scoring.weights_from)


def _check_rankings(parsed: argparse.Namespace) -> None:
    if parsed.rankings and parsed.mrr_tolerance is not None:
        raise ProofrankError(
            "--rankings is for exact ranks; with --mrr-tolerance the --json file has rank_intervals"
        )
    if parsed.rankings and (parsed.json is None or is_bulk(parsed)):
        raise ProofrankError(
            "--rankings is for --json without shards; --results writes the rankings of shards"
        )


def _protocol(parsed: argparse.Namespace, corruptor: Corruptor) -> Protocol:
    return Protocol(
        split=parsed.split,
        limit=parsed.queries,
        side=parsed.side,
        seed=parsed.seed,
        scoring=parsed.scoring,
        beam=parsed.beam,
        beam_score=parsed.beam_score,
        **protocol_fields(ranking_rules(parsed), corruptor),
    )


def _evaluate_to_tolerance(
    parsed: argparse.Namespace,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    scoring: Scoring | None,
    errors: Console,
) -> int:
    """Ranks until the MRR is certain to the tolerance, and tells what is known; returns the exit status."""
    check_level(parsed.pruning or "ranks", parsed.scoring)
    check_tolerance_of(ranking_rules(parsed))
    work = drawn_work(parsed, dataset)
    evaluator = None if is_embedding_alone(parsed) else make_evaluator(parsed, dataset, policy, settings)
    say_files(dataset)
    _say_ranking(parsed, dataset, errors, work)
    evaluation = interval_evaluation(
        evaluator,
        dataset,
        policy,
        work,
        pruning=parsed.pruning,
        ties=parsed.ties,
        seed=parsed.seed,
        cache_folder=parsed.cache_folder,
        splits=(parsed.split,),
        hits_at=parsed.hits_at,
        scoring=scoring,
    ).refine(parsed.mrr_tolerance, progress=True)
    counts, metrics = evaluation.pruning_counts, evaluation.metrics
    if evaluator is not None:
        line = pruning_line(counts.evaluated, counts.unprovable, counts.fallen_behind)
        errors.print(f"{line}; {metrics.open} are open", highlight=False, markup=False, soft_wrap=True)
    if parsed.json is not None:
        _write(parsed, evaluation.to_dict() | {"protocol": _protocol(parsed, work.corruptor).to_dict()})
    title = (
        f"{dataset.name} {parsed.split}, policy {policy.name}, engine {evaluation.engine}{_beam_words(parsed)}"
        f"{_scoring_words(scoring)}"
    )
    print_intervals(evaluation.report, f"{title}, MRR to {parsed.mrr_tolerance:g} up and down")
    # A metric is high enough if it is so for certain.
    certain = {name: None if found is None else found.low for name, found in metrics.by_name.items()}
    return check_floors(parsed, certain, errors)


def _write(parsed: argparse.Namespace, written: dict[str, Any]) -> None:
    """Writes the file of ``--json``."""
    if parsed.without_seconds:
        written = _without_seconds(written)
    write_output("--json", parsed.json, json.dumps(written, indent=1) + "\n")


def _evaluate(
    parsed: argparse.Namespace,
    dataset: Dataset,
    work: LazyQueries,
    evaluator: Evaluator | None,
    scoring: Scoring | None,
    errors: Console,
) -> tuple[list[RankedQuery], dict[str, Any]]:
    """The ranked queries, and what was left out; the evaluator is None where nothing is proved."""
    level = pruning_level(parsed)
    pruning = pruning_of(level, dataset, parsed.cache_folder or default_cache_folder())
    queries = work.all_queries()
    num_candidates = sum(query.num_candidates for query in queries)
    with progress_bar(errors, "candidates", num_candidates) as on_progress:
        ranked = rank_queries(
            evaluator,
            queries,
            seed=parsed.seed,
            on_progress=on_progress,
            pruning=pruning,
            scoring=scoring,
        )
    if evaluator is None:
        return ranked, PruningCounts().to_dict(level)
    counts = sum((PruningCounts.of(query.outcomes) for query in ranked), PruningCounts())
    if pruning is not None:
        line = pruning_line(counts.evaluated, counts.unprovable, counts.fallen_behind)
        errors.print(line, highlight=False, markup=False, soft_wrap=True)
    return ranked, counts.to_dict(level)


def _without_seconds(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics without their times; a relation may bear the name, and stays."""
    return {
        name: _without_seconds(value) if isinstance(value, dict) else value
        for name, value in metrics.items()
        if name != "seconds" or isinstance(value, dict)
    }
