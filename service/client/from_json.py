"""JSON of the service as frozen dataclasses, and back.

A field is read under its own name, or under the one that :func:`named` gives it. What a dataclass does not know is
left out, so that an older client reads the answers of a newer server; a field that is missing, or of another type, is
an error that names it.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from proofrank.core.formats.times import write_time
from proofrank.service.client.errors import UnexpectedAnswerError

T = TypeVar("T")
Reader = Callable[[Any], Any]

_NAME = "json"
_SCALARS: dict[type, str] = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def named(name: str) -> dict[str, str]:
    """The metadata of a dataclass's field that has another name in JSON."""
    return {_NAME: name}


def name_of(field: dataclasses.Field[Any]) -> str:
    """The name of a dataclass's field in JSON."""
    return field.metadata.get(_NAME, field.name)


def read(kind: type[T], value: Any, what: str) -> T:
    """``value``, as JSON has it, as a ``kind``.

    Args:
        kind: a dataclass, or what one may hold.
        value: parsed JSON.
        what: names the value in errors.

    Raises:
        UnexpectedAnswerError: says where it is not as expected.
    """
    try:
        return _reader(kind)(value)
    except _Mismatch as mismatch:
        raise UnexpectedAnswerError(f"{what}{mismatch.path}: {mismatch}") from None


def to_json(value: Any) -> Any:
    """A dataclass, or what one may hold, as the service writes it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name_of(field): to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    return write_time(value) if isinstance(value, datetime) else value


class _Mismatch(Exception):
    """A value is not what was expected; the path to it grows as the error passes the readers around it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.path = ""


def _expected(what: str, value: Any) -> _Mismatch:
    return _Mismatch(f"expected {what}, got {type(value).__name__}")


# An answer may hold a million candidates: what a type needs is worked out once.
@functools.cache
def _reader(kind: Any) -> Reader:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_reader(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (other,) = (argument for argument in arguments if argument is not types.NoneType)
        inner = _reader(other)
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        return _sequence_reader(_reader(arguments[0]))
    if origin is dict:
        return _mapping_reader(_reader(arguments[1]))
    if kind is datetime:
        return _read_time
    return _scalar_reader(kind) if kind in _SCALARS else lambda value: value


def _dataclass_reader(kind: type) -> Reader:
    hints = typing.get_type_hints(kind)
    fields = [
        (field.name, name_of(field), _reader(hints[field.name]), field.default)
        for field in dataclasses.fields(kind)
    ]

    def read_fields(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _expected("an object", value)
        values: dict[str, Any] = {}
        name = ""
        try:
            for attribute, name, reader, default in fields:
                if name in value:
                    values[attribute] = reader(value[name])
                elif default is dataclasses.MISSING:
                    raise _Mismatch("is missing")
        except _Mismatch as mismatch:
            mismatch.path = f".{name}{mismatch.path}"
            raise
        return kind(**values)

    return read_fields


def _sequence_reader(inner: Reader) -> Reader:
    def read_items(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _expected("a list", value)
        items = []
        try:
            items.extend(map(inner, value))
        except _Mismatch as mismatch:
            mismatch.path = f"[{len(items)}]{mismatch.path}"
            raise
        return tuple(items)

    return read_items


def _mapping_reader(inner: Reader) -> Reader:
    def read_values(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _expected("an object", value)
        values: dict[str, Any] = {}
        key = ""
        try:
            for key, item in value.items():
                values[key] = inner(item)
        except _Mismatch as mismatch:
            mismatch.path = f".{key}{mismatch.path}"
            raise
        return values

    return read_values


def _scalar_reader(kind: type) -> Reader:
    def read_scalar(value: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)  # JSON has one kind of number
        raise _expected(_SCALARS[kind], value)

    return read_scalar


def _read_time(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _expected("a time as in 2026-01-31T12:00:00Z", value) from None
