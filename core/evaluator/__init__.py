"""Evaluators: engines that prove candidates, and tools that look at what they did."""

from core.evaluator.base import Evaluator
from core.evaluator.compiled import CompiledEvaluator
from core.evaluator.engines import ENGINES, create_evaluator, default_device, settings_for
from core.evaluator.explanation import ProofNode, explain, render_proof
from core.evaluator.original import OriginalEvaluator
from core.evaluator.stream import CandidateStream, OriginalStream
from core.evaluator.work import Work

__all__ = [
    "ENGINES",
    "CandidateStream",
    "CompiledEvaluator",
    "Evaluator",
    "OriginalEvaluator",
    "OriginalStream",
    "ProofNode",
    "Work",
    "create_evaluator",
    "default_device",
    "explain",
    "render_proof",
    "settings_for",
]
