"""Tests of the service and the command line, against real servers and real files."""
