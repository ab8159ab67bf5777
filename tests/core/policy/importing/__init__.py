"""Tests of ``core/policy/importing``."""
