"""Networks of other people's code: a graph of allowed operations in place of the code."""

from proofrank.core.policy.exported.network import ExportedConfig, ExportedNetwork

__all__ = ["ExportedConfig", "ExportedNetwork"]
