"""Tests of the callbacks of training loops."""
