"""Tests of ``service/scheduler``."""
