"""Tests; a package, so that its folders may bear the names of the packages that they test."""
