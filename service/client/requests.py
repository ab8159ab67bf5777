"""What is sent: queries, options, and the HTTP request that they become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from proofrank.service.client.errors import ClientError

SideOption = Literal["head", "tail", "both"]
Ties = Literal["realistic", "optimistic", "pessimistic", "random"]


@dataclass(frozen=True)
class Query:
    """A triple to rank against corrupted copies of itself.

    Attributes:
        head: name of the first constant.
        relation: name of the predicate.
        tail: name of the second constant.
        side: which constant is replaced; that of the request if None.
        candidates: constants to put in its place, instead of drawn corruptions.
    """

    head: str
    relation: str
    tail: str
    side: SideOption | None = None
    candidates: Sequence[str] | None = None


QueryLike = Query | tuple[str, str, str]
"""A query, or its head, relation and tail."""


@dataclass(frozen=True)
class Call:
    """An HTTP request.

    Attributes:
        method: of HTTP.
        path: below the server's address, names in it quoted.
        body: sent as JSON; None for none.
        files: sent as multipart/form-data, by field; opened anew with each attempt.
        parameters: of the URL.
        headers: beside those that every request has.
        is_repeatable: whether sending it twice does what sending it once does, so that it may be sent again where it is
            not known whether the server acted on it.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    body: Any = None
    files: Mapping[str, Path] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True


def path_of(*parts: str) -> str:
    """The path of these parts, each of which may hold any character."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def query_fields(queries: Iterable[QueryLike]) -> list[dict[str, Any]]:
    """The queries as a request has them.

    Raises:
        ClientError: one of them is none.
    """
    return [_fields(query, index) for index, query in enumerate(queries)]


def _fields(query: QueryLike, index: int) -> dict[str, Any]:
    if not isinstance(query, Query):
        if isinstance(query, str) or len(query) != 3:
            raise ClientError(f"queries[{index}] is {query!r}; expected a Query or (head, relation, tail)")
        query = Query(*query)
    fields: dict[str, Any] = {"head": query.head, "relation": query.relation, "tail": query.tail}
    if query.side is not None:
        fields["side"] = query.side
    if query.candidates is not None:
        fields["candidates"] = list(query.candidates)
    return fields


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None: what was not asked for is not sent, for an older server would refuse it."""
    return {name: value for name, value in fields.items() if value is not None}
