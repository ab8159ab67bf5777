"""Tests of ``service/bulk``."""
