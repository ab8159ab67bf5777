"""Answers to JSON and back."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def answer_to_json(answer: Any, indent: int | None = None) -> bytes:
    """An answer as the service writes it.

    Args:
        answer: an instance of a dataclass of this package, or of one derived from it.
        indent: number of spaces for each level; None for one line.
    """
    return _adapter(type(answer)).dump_json(answer, by_alias=True, indent=indent)


def answer_from_python(kind: type[T], value: Any) -> T:
    """The answer with these fields, under their names in JSON.

    Raises:
        pydantic.ValidationError: says which field is not as expected.
    """
    return _adapter(kind).validate_python(value)


def read_answer(kind: type[T], body: bytes | str) -> T:
    """An answer that was received, or stored.

    Fields that ``kind`` does not have are left out, so that an older client reads the answers of a newer server. A text
    is no number, nor the other way round.

    Args:
        kind: a dataclass of this package, or one derived from it.
        body: its JSON.

    Raises:
        pydantic.ValidationError: it is not JSON, or says which field is missing or not as expected.
    """
    return _adapter(kind).validate_json(body, strict=True, extra="ignore")


@functools.cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)
