"""Tests of ``service/on_ray``."""
