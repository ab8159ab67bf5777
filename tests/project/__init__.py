"""Tests of the project as a whole: what is installed, what imports what, pages, containers."""
