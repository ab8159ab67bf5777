"""Corruptions, ranks and metrics: from proved candidates to MRR."""

from proofrank.core.ranking.candidate_queue import CandidateQueue, queue_of
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
from proofrank.core.ranking.metrics import HITS_AT, Metrics, RankedQuery, RankingSummary, Report
from proofrank.core.ranking.pruning import AllAtoms, ProvableAtoms, Pruning, PruningCounts, pruning_of
from proofrank.core.ranking.queries import LazyQueries, Query, candidates_of, corrupted_queries
from proofrank.core.ranking.ranks import TIE_POLICIES, Ranks, rank_as_deepprooflog, rank_positive
from proofrank.core.ranking.tally import ReportTally, aggregate, report

__all__ = [
    "HITS_AT",
    "SIDES",
    "SIDE_OPTIONS",
    "TIE_POLICIES",
    "AllAtoms",
    "CandidateQueue",
    "Corruptor",
    "LazyQueries",
    "Metrics",
    "ProvableAtoms",
    "Pruning",
    "PruningCounts",
    "Query",
    "RankedQuery",
    "RankingSummary",
    "Ranks",
    "Report",
    "ReportTally",
    "Side",
    "aggregate",
    "candidates_of",
    "corrupted_queries",
    "pruning_of",
    "queue_of",
    "rank_as_deepprooflog",
    "rank_outcomes",
    "rank_positive",
    "rank_queries",
    "replaced_constant",
    "report",
    "sample_triples",
    "sides_of",
    "with_constant",
]
