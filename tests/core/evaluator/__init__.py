"""Tests of ``core/evaluator``."""
