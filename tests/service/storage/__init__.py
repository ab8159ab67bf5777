"""Tests of ``service/storage``."""
