"""Tests of ``service/ranking``."""
