"""Limits of the tests' servers, small enough to be reached."""

from __future__ import annotations

MAX_QUERIES = 50


MAX_CANDIDATES = 200


MAX_PROOFS = 3


MAX_BODY_BYTES = 200_000
