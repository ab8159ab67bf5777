"""Tests of ``service/settings``."""
