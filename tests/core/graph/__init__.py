"""Tests of ``core/graph``."""
