"""Imports checkpoint files that the public DeepProofLog code writes; ``docs/policies.md`` explains them."""

from proofrank.core.policy.importing.checkpoint import ImportedPolicy, import_checkpoint
from proofrank.core.policy.importing.facts import Facts, read_facts

__all__ = ["Facts", "ImportedPolicy", "import_checkpoint", "read_facts"]
