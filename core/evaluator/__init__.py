"""Evaluators: engines that prove candidates, and tools that look at what they did."""

from core.evaluator.base import Evaluator
from core.evaluator.compiled import CompiledEvaluator, Work
from core.evaluator.engines import ENGINES, create_evaluator, settings_for
from core.evaluator.explanation import ProofNode, explain, render_proof
from core.evaluator.original import OriginalEvaluator

__all__ = [
    "ENGINES",
    "CompiledEvaluator",
    "Evaluator",
    "OriginalEvaluator",
    "ProofNode",
    "Work",
    "create_evaluator",
    "explain",
    "render_proof",
    "settings_for",
]
