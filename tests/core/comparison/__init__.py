"""Tests of ``core/comparison``."""
