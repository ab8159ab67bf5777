"""Tests of ``core/ranking``."""
