"""Tests of the callbacks against the libraries that they are for."""
