"""Evaluation of neural-guided provers on knowledge graphs: exact ranks, MRR and proofs."""

from proofrank._version import __version__

__all__ = ["__version__"]
