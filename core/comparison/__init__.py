"""Comparison of two evaluations of the same queries: differences of metrics, with intervals, and what changed.

``rankings`` holds the rankings of one evaluation as columns, ``scores`` what it scored by, ``pairing`` puts those of
two side by side or says why that would mean nothing, ``bootstrap`` resamples triples, ``comparison`` puts it together.
Needs numpy, and no torch.
"""

from proofrank.core.comparison.comparison import (
    Change,
    Comparison,
    Difference,
    GroupDifference,
    Macro,
    compare_rankings,
)
from proofrank.core.comparison.identity import Identity
from proofrank.core.comparison.pairing import ComparisonError
from proofrank.core.comparison.rankings import Protocol, Rankings
from proofrank.core.comparison.scores import ScoredBy

__all__ = [
    "Change",
    "Comparison",
    "ComparisonError",
    "Difference",
    "GroupDifference",
    "Identity",
    "Macro",
    "Protocol",
    "Rankings",
    "ScoredBy",
    "compare_rankings",
]
