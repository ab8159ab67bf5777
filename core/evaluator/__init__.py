"""Evaluators: engines that prove candidates, and tools that look at what they did."""

from proofrank.core.evaluator.base import Evaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.engines import ENGINES, create_evaluator, default_device, settings_for
from proofrank.core.evaluator.explanation import ProofNode, explain, render_proof
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.reference import ReferenceEvaluator
from proofrank.core.evaluator.stream import CandidateStream, OriginalStream
from proofrank.core.evaluator.work import Work

__all__ = [
    "ENGINES",
    "CandidateStream",
    "CompiledEvaluator",
    "Evaluator",
    "EvaluatorOptions",
    "OriginalStream",
    "ProofNode",
    "ReferenceEvaluator",
    "Work",
    "create_evaluator",
    "default_device",
    "explain",
    "render_proof",
    "settings_for",
]
