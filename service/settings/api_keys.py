"""API keys: how they are made, what the settings hold of them, and how the key of a request is found.

A key is a random token of 256 bits, so the settings may hold its plain SHA-256. Such a key cannot be guessed; a salt
and many rounds, which slow guessing down, would only slow down every request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

KEY_PREFIX = "proofrank_"
"""Prefix of every key, by which scanners for leaked secrets can find one."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Right = Literal["rank", "policies"]
RIGHTS: tuple[Right, ...] = get_args(Right)


class ApiKey(BaseModel):
    """A key as the settings hold it: only the owner has the key itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME_PATTERN, description="name of the key in the log")
    sha256: str = Field(description="SHA-256 of the key, in hexadecimal")
    rights: tuple[Right, ...] = Field(default=("rank",), min_length=1, description="what the key allows")

    @field_validator("sha256")
    @classmethod
    def _is_a_hash(cls, value: str) -> str:
        """Refuses a key that was put here by mistake, without repeating it."""
        if len(value) != 64 or set(value.lower()) - set("0123456789abcdef"):
            raise PydanticCustomError(
                "sha256", "expected 64 hexadecimal digits, as `proofrank key` prints them"
            )
        return value.lower()


def read_keys(value: Any) -> Any:
    """Returns ``value``, or the JSON that it holds if it is text, as in the environment."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected a list of keys as JSON: {error}") from None


def check_distinct(keys: Sequence[ApiKey]) -> None:
    """Raises ValueError if two keys have the same name or are the same key."""
    for field in ("name", "sha256"):
        seen: set[str] = set()
        for key in keys:
            value = getattr(key, field)
            if value in seen:
                raise ValueError(f"expected keys that differ, but two have the {field} {value!r}")
            seen.add(value)


def make_key() -> str:
    """Makes a new key."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_of(key: bytes) -> str:
    """Returns the hash of ``key`` that the settings hold."""
    return hashlib.sha256(key).hexdigest()


def find_key(keys: Sequence[ApiKey], offered: bytes) -> ApiKey | None:
    """Returns the entry of the offered key, or None. Takes equally long for every key, right or wrong."""
    offered_hash = hash_of(offered)
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, offered_hash):
            found = key
    return found
