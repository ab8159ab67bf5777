"""Tests of what can be proved at all."""
