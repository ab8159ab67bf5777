"""Tests of ``service/cli``."""
