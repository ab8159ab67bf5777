"""Tests of ``service/web``."""
