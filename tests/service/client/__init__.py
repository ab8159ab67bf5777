"""Tests of ``service/client``."""
