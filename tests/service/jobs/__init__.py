"""Tests of ``service/jobs``."""
