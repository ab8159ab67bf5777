"""Tests of the page and of the report, over HTTP and in a real browser."""
