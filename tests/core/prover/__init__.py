"""Tests of ``core/prover``."""
