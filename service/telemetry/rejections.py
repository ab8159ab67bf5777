"""The reasons for which requests are refused: values of the label ``reason``."""

from __future__ import annotations

from enum import StrEnum


class Rejection(StrEnum):
    """A reason to refuse a request."""

    QUEUE_FULL = "queue_full"
    BODIES_FULL = "bodies_full"
    CONNECTIONS_FULL = "connections_full"
    NOT_READY = "not_ready"
    DRAINING = "draining"
    DEADLINE = "deadline"
    TOO_LARGE = "too_large"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
