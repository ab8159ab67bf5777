"""Imports checkpoint files that the public DeepProofLog code writes; ``docs/policies.md`` explains them."""

from proofrank.core.policy.importing.checkpoint import ImportedPolicy, import_checkpoint
from proofrank.core.policy.importing.facts import FactError, Facts, MissingFactsError, read_facts

__all__ = [
    "FactError",
    "Facts",
    "ImportedPolicy",
    "MissingFactsError",
    "import_checkpoint",
    "read_facts",
]
