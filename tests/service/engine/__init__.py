"""Tests of ``service/engine``."""
