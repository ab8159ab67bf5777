"""Corruptions, ranks and metrics: from proved candidates to MRR."""

from proofrank.core.hybrid import Hybrid, HybridWeights, read_hybrid
from proofrank.core.ranking.candidate_queue import queue_of
from proofrank.core.ranking.corruptions import (
    SIDE_OPTIONS,
    SIDES,
    Corruptor,
    Side,
    replaced_constant,
    sample_triples,
    sides_of,
    with_constant,
)
from proofrank.core.ranking.evaluation import rank_outcomes, rank_queries
from proofrank.core.ranking.highest_mrr import HighestMrr, highest_mrr
from proofrank.core.ranking.intervals import (
    Interval,
    IntervalReport,
    MetricIntervals,
    RankedSoFar,
    interval_report,
    metric_intervals,
)
from proofrank.core.ranking.known_depths import has_depths, known_depths
from proofrank.core.ranking.metrics import HITS_AT, Metrics, RankedQuery, RankingSummary, Report
from proofrank.core.ranking.parts import depth_order, parts_of
from proofrank.core.ranking.pruning import AllAtoms, ProvableAtoms, Pruning, PruningCounts, pruning_of
from proofrank.core.ranking.queries import LazyQueries, Query, candidates_of, corrupted_queries
from proofrank.core.ranking.ranks import TIE_POLICIES, Ranks, rank_as_deepprooflog, rank_positive
from proofrank.core.ranking.reasons import (
    ExplainedOutcome,
    RankReasons,
    Standing,
    no_corruption,
    rank_reasons,
    reasons_of,
)
from proofrank.core.ranking.refinement import (
    AllCompletions,
    ProvableCompletions,
    Refinement,
    RefinementPart,
    RefinementProgress,
    check_level,
    check_tolerance,
)
from proofrank.core.ranking.scored_queue import ScoredQueue, scored_queue_of
from proofrank.core.ranking.scoring import (
    PROOF_SCORING,
    Scoring,
    check_fitted_with,
    hybrid_score,
    log_sigmoid,
    make_scoring,
)
from proofrank.core.ranking.tally import ReportTally, aggregate, report

__all__ = [
    "HITS_AT",
    "PROOF_SCORING",
    "SIDES",
    "SIDE_OPTIONS",
    "TIE_POLICIES",
    "AllAtoms",
    "AllCompletions",
    "Corruptor",
    "ExplainedOutcome",
    "HighestMrr",
    "Hybrid",
    "HybridWeights",
    "Interval",
    "IntervalReport",
    "LazyQueries",
    "MetricIntervals",
    "Metrics",
    "ProvableAtoms",
    "ProvableCompletions",
    "Pruning",
    "PruningCounts",
    "Query",
    "RankReasons",
    "RankedQuery",
    "RankedSoFar",
    "RankingSummary",
    "Ranks",
    "Refinement",
    "RefinementPart",
    "RefinementProgress",
    "Report",
    "ReportTally",
    "ScoredQueue",
    "Scoring",
    "Side",
    "Standing",
    "aggregate",
    "candidates_of",
    "check_fitted_with",
    "check_level",
    "check_tolerance",
    "corrupted_queries",
    "depth_order",
    "has_depths",
    "highest_mrr",
    "hybrid_score",
    "interval_report",
    "known_depths",
    "log_sigmoid",
    "make_scoring",
    "metric_intervals",
    "no_corruption",
    "parts_of",
    "pruning_of",
    "queue_of",
    "rank_as_deepprooflog",
    "rank_outcomes",
    "rank_positive",
    "rank_queries",
    "rank_reasons",
    "read_hybrid",
    "reasons_of",
    "replaced_constant",
    "report",
    "sample_triples",
    "scored_queue_of",
    "sides_of",
    "with_constant",
]
