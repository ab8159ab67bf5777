"""One evaluation by several processes, each of which computes with one thread."""

from proofrank.core.evaluator.parallel.evaluator import ParallelEvaluator
from proofrank.core.evaluator.parallel.helpers import Blueprint
from proofrank.core.evaluator.parallel.processors import usable_processors

__all__ = ["Blueprint", "ParallelEvaluator", "usable_processors"]
