"""Imports checkpoint files that the public DeepProofLog code writes; ``docs/policies.md`` explains them."""

from proofrank.core.policy.importing.checkpoint import ImportedPolicy, import_checkpoint
from proofrank.core.policy.importing.facts import FactError, Facts, MissingFactsError, read_facts
from proofrank.core.policy.importing.inspection import Inspection, inspect_checkpoint

__all__ = [
    "FactError",
    "Facts",
    "ImportedPolicy",
    "Inspection",
    "MissingFactsError",
    "import_checkpoint",
    "inspect_checkpoint",
    "read_facts",
]
