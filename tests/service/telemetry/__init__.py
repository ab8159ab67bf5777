"""Tests of ``service/telemetry``."""
