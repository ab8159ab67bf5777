"""What is sent: queries, options, and the HTTP request that they become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from proofrank.service.client.errors import ClientError, InvalidRequestError
from proofrank.service.errors import InvalidInput
from proofrank.service.wire import MAX_ERRORS, RankQuery, SideOption, field_error

R = TypeVar("R", bound=BaseModel)


class Query(RankQuery):
    """A triple to rank against corrupted copies of itself.

    Attributes:
        head: name of the first constant.
        relation: name of the predicate.
        tail: name of the second constant.
        side: which constant is replaced; that of the request if None.
        candidates: constants to put in its place, instead of drawn corruptions.
    """

    def __init__(
        self,
        head: str,
        relation: str,
        tail: str,
        side: SideOption | None = None,
        candidates: Sequence[str] | None = None,
    ) -> None:
        """Checks the names and the side.

        Raises:
            InvalidRequestError: one of them cannot be right for any dataset.
        """
        own = None if candidates is None else list(candidates)
        with _refused_as_by_the_server(RankQuery):
            super().__init__(head=head, relation=relation, tail=tail, side=side, candidates=own)


CandidatesFrom = Literal["domains", "entities", "relations"]
"""Where candidates come from."""

QueryLike = Query | tuple[str, str, str]
"""A query, or its head, relation and tail."""


@dataclass(frozen=True)
class Call:
    """An HTTP request.

    Attributes:
        method: of HTTP.
        path: below the server's address, names in it quoted.
        body: its content; None for none.
        files: sent as multipart/form-data, by field: a path, opened anew with each attempt, or content.
        parameters: of the URL; several values of one name as a list.
        headers: beside those that every request has.
        is_repeatable: whether sending it twice does what sending it once does, so that it may be sent again where it is
            not known whether the server acted on it.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    body: bytes | None = None
    files: Mapping[str, Path | bytes] = field(default_factory=dict)
    parameters: Mapping[str, str | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True


def path_of(*parts: str) -> str:
    """The path of these parts, each of which may hold any character."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def make_request(kind: type[R], queries: Iterable[QueryLike] | None, **fields: Any) -> R:
    """A request of these queries and fields, checked before it is sent.

    Raises:
        ClientError: one of the queries is none.
        InvalidRequestError: as the server would answer, were it sent.
    """
    if queries is not None:
        fields["queries"] = [_query_fields(query, index) for index, query in enumerate(queries)]
    with _refused_as_by_the_server(kind):
        return kind.model_validate(fields)


def weights_fields(hybrid: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Weights of hybrid scores as fields of a request; ``by_relation`` holds such mappings by name."""
    if hybrid is None:
        return None
    fields = dict(hybrid)
    by_relation = fields.get("by_relation")
    if isinstance(by_relation, Mapping):
        fields["by_relation"] = {
            name: dict(own) if isinstance(own, Mapping) else own for name, own in by_relation.items()
        }
    return fields


def json_call(path: str, request: BaseModel, headers: Mapping[str, str] | None = None) -> Call:
    """The POST of a request; what was not asked for is not sent, for an older server would refuse it."""
    body = request.model_dump_json(exclude_none=True).encode()
    return Call("POST", path, body=body, headers={"Content-Type": "application/json", **(headers or {})})


def _query_fields(query: QueryLike, index: int) -> dict[str, Any]:
    if isinstance(query, Query):
        return query.model_dump(exclude_none=True)
    return named_triple(query, index, "queries", "a Query or ")


def named_triple(
    triple: tuple[str, str, str], index: int, field: str = "triples", also: str = ""
) -> dict[str, str]:
    """The fields of a triple of a request, by its names.

    Args:
        triple: its names (head, relation, tail).
        index: its place, for errors.
        field: of the request, for errors.
        also: what else may be in its place, for errors.

    Raises:
        ClientError: it is no triple of names.
    """
    if isinstance(triple, str) or len(triple) != 3:
        raise ClientError(f"{field}[{index}] is {triple!r}; expected {also}(head, relation, tail)")
    return dict(zip(("head", "relation", "tail"), triple, strict=True))


@contextmanager
def _refused_as_by_the_server(model: type[BaseModel]) -> Iterator[None]:
    """Raises what is wrong with a request as the error that the server's answer would be."""
    try:
        yield
    except ValidationError as error:
        found = error.errors(include_url=False)
        refusal = InvalidInput([field_error(item, model) for item in found[:MAX_ERRORS]], len(found))
        raise InvalidRequestError(HTTPStatus.UNPROCESSABLE_ENTITY, refusal.detail, refusal.errors) from None
