"""The OpenAPI document: what FastAPI derives from the routes, completed by what it does not see."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from proofrank.service.settings.settings import Settings
from proofrank.service.web.auth import describe_access, right_needed
from proofrank.service.web.problems import problem_response
from proofrank.service.web.request_middleware import WATCHING_PATHS
from proofrank.service.wire import ProblemBody

_TAGS = {
    "ranking": "Ranks of triples, answered at once.",
    "jobs": "Evaluations of whole splits, or of many triples, in the background.",
    "policies": "Policies that the server stores, and the live one.",
    "runs": "Training runs, with the metrics of each step.",
    "server": "Health of the server, and what it serves.",
}

_UNSENT = "HTTPValidationError"
"""Schema of the 422 that FastAPI describes for every route with a parameter; such an error is never sent here."""


def operation_id(route: APIRoute) -> str:
    """Returns the id of a route's operation, after which generators of clients name its method."""
    return route.name


def complete(document: dict[str, Any], settings: Settings) -> None:
    """Adds the schemas of errors, the errors that every route can answer with, tags and keys to a document.

    Args:
        document: made by FastAPI; it is changed.
        settings: of the service.
    """
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in (_UNSENT, "ValidationError"):
        schemas.pop(name, None)
    schemas.update(_problem_schemas())
    used = {tag for _, _, operation in _operations(document) for tag in operation.get("tags", ())}
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items() if name in used]
    for path, method, operation in _operations(document):
        responses = operation["responses"]
        unsent = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if unsent.get("$ref", "").endswith(f"/{_UNSENT}"):
            del responses["422"]
        if "requestBody" in operation:
            _add(responses, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        if path not in WATCHING_PATHS:
            _add(responses, HTTPStatus.SERVICE_UNAVAILABLE)
        if settings.rate_limit is not None and _is_limited(method, path, settings):
            _add(responses, HTTPStatus.TOO_MANY_REQUESTS)
    describe_access(document, settings.api_keys, metrics_needs_key=settings.metrics_needs_key)
    for _, _, operation in _operations(document):
        operation["responses"] = dict(sorted(operation["responses"].items()))


def _problem_schemas() -> dict[str, Any]:
    """Returns the schemas of the body of an error and of its parts, by name."""
    schema = TypeAdapter(ProblemBody).json_schema(
        mode="serialization", ref_template="#/components/schemas/{model}"
    )
    return {**schema.pop("$defs"), ProblemBody.__name__: schema}


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields path, method and description of each operation."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation


def _is_limited(method: str, path: str, settings: Settings) -> bool:
    return right_needed(method, path, metrics_needs_key=settings.metrics_needs_key) is not None


def _add(responses: dict[str, Any], status: HTTPStatus) -> None:
    responses.setdefault(str(int(status)), problem_response(status))
