"""What is wrong with a request, from what pydantic says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from proofrank.core.errors import nearest_names
from proofrank.service.wire.problems import MAX_SHOWN, FieldError, shortened


def path_text(location: Sequence[str | int]) -> str:
    """The place of a value, as in ``queries[3].relation``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def field_error(item: Mapping[str, Any], model: type[BaseModel]) -> FieldError:
    """An error of pydantic's in our form.

    Args:
        item: one of :meth:`pydantic.ValidationError.errors`.
        model: what was read.
    """
    location = [part for part in item["loc"] if part != "body"]
    field = shortened(path_text(location))
    if item["type"] == "extra_forbidden":
        return FieldError(
            field=field,
            value=shortened(item.get("input")),
            message="no such field",
            nearest=tuple(nearest_names(str(location[-1])[:MAX_SHOWN], _fields_beside(location, model))),
        )
    message = item["msg"][:1].lower() + item["msg"][1:]
    return FieldError(field=field or "body", value=shortened(item.get("input")), message=message)


def first_error_of_answer(error: ValidationError) -> FieldError | None:
    """The first thing that is wrong with an answer that was read; None where it is not JSON."""
    item = error.errors(include_url=False)[0]
    if item["type"] == "json_invalid":
        return None
    # What a missing field stands for is all that stands beside it.
    value = None if item["type"] == "missing" else shortened(item["input"])
    message = item["msg"][:1].lower() + item["msg"][1:]
    return FieldError(field=path_text(["answer", *item["loc"]]), value=value, message=message)


def _fields_beside(location: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    """The fields that may stand where an error's location, in a body of ``model``, points to."""
    if len(location) > 1 and isinstance(location[0], str) and location[0] in model.model_fields:
        inner = model_within(model.model_fields[location[0]].annotation)
        return list(inner.model_fields) if inner is not None else []
    return list(model.model_fields)


def model_within(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as ``list[Model] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_within, get_args(annotation))), None)
