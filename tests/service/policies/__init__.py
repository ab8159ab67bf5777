"""Tests of ``service/policies``."""
