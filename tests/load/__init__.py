"""Tests of ``load/``."""
