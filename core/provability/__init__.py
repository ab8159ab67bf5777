"""Triples that facts and rules can prove under any policy."""

from proofrank.core.provability.immediate import immediate_model
from proofrank.core.provability.least_model import LeastModel, compute_least_model
from proofrank.core.provability.naive import naive_least_model
from proofrank.core.provability.store import stored_least_model

__all__ = ["LeastModel", "compute_least_model", "immediate_model", "naive_least_model", "stored_least_model"]
