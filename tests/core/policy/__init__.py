"""Tests of ``core/policy``."""
