"""Shared set-up of several tests."""
