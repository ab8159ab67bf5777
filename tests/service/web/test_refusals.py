"""Whatever is wrong with a request is answered with problem+json that helps, and the server goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.helpers.answers import refusal
from tests.helpers.limits import MAX_BODY_BYTES, MAX_CANDIDATES, MAX_PROOFS, MAX_QUERIES
from tests.helpers.serving import RunningServer

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}


@pytest.fixture(autouse=True)
def still_answers(client: httpx.Client) -> Iterator[None]:
    """After each refusal the server ranks as before."""
    yield
    assert client.post("/rank", json={"queries": [QUERY]}).status_code == 200


def first_error(client: httpx.Client, request: Any) -> dict[str, Any]:
    """The first error of a refused request."""
    body = refusal(client.post("/rank", json=request))
    error = body["errors"][0]
    assert body["detail"].startswith(f"{error['field']}: {error['message']}")
    return error


def first_error_of_text(client: httpx.Client, content: bytes) -> dict[str, Any]:
    """The first error of a request with this body."""
    answer = client.post("/rank", content=content, headers={"content-type": "application/json"})
    return refusal(answer)["errors"][0]


@pytest.mark.parametrize(
    ("field", "name", "kind", "nearest"),
    [
        ("head", "Ana", "constant", "anna"),
        ("tail", "zoe", "constant", "Zoë"),
        ("relation", "ancestors", "predicate", "ancestor"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_known_ones(
    client: httpx.Client, field: str, name: str, kind: str, nearest: str
) -> None:
    error = first_error(client, {"queries": [QUERY, {**QUERY, field: name}]})
    assert error["field"] == f"queries[1].{field}"
    assert error["value"] == name
    assert error["message"] == f"unknown {kind} of dataset 'family'"
    assert error["nearest"][0] == nearest


def test_an_unknown_candidate_is_told_with_its_place(client: httpx.Client) -> None:
    error = first_error(client, {"queries": [{**QUERY, "side": "tail", "candidates": ["ben", "kara"]}]})
    assert (error["field"], error["value"]) == ("queries[0].candidates[1]", "kara")
    assert error["nearest"] == ["cara"]


def test_every_unknown_name_of_a_request_is_told_up_to_twenty(client: httpx.Client) -> None:
    both = {"head": "nobody", "relation": "ancestor", "tail": "noone"}
    assert len(refusal(client.post("/rank", json={"queries": [both]}))["errors"]) == 2
    many = refusal(client.post("/rank", json={"queries": [both] * MAX_QUERIES}))
    assert len(many["errors"]) == 20
    assert many["detail"].endswith(
        f" (and {2 * MAX_QUERIES - 1} more); {2 * MAX_QUERIES} names are unknown to dataset 'family', "
        "2 different constants and 0 different relations"
    )


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        ({"queries": []}, "queries"),
        ({}, "queries"),
        ({"queries": "anna"}, "queries"),
        ({"queries": [QUERY, 5]}, "queries[1]"),
        ({"queries": [{"head": "anna", "relation": "ancestor"}]}, "queries[0].tail"),
        ({"queries": [{**QUERY, "head": 5}]}, "queries[0].head"),
        ({"queries": [{**QUERY, "head": None}]}, "queries[0].head"),
        ({"queries": [{**QUERY, "head": ""}]}, "queries[0].head"),
        ({"queries": [{**QUERY, "head": "x" * 5000}]}, "queries[0].head"),
        ({"queries": [{**QUERY, "side": "left"}]}, "queries[0].side"),
        ({"queries": [{**QUERY, "side": "tail", "candidates": []}]}, "queries[0].candidates"),
        ({"queries": [{**QUERY, "side": "tail", "candidates": "ben"}]}, "queries[0].candidates"),
        ({"queries": [{**QUERY, "side": "tail", "candidates": ["ben", 5]}]}, "queries[0].candidates[1]"),
        ({"queries": [QUERY], "corruptions": -1}, "corruptions"),
        ({"queries": [QUERY], "corruptions": 1.5}, "corruptions"),
        ({"queries": [QUERY], "corruptions": True}, "corruptions"),
        ({"queries": [QUERY], "corruptions": "many"}, "corruptions"),
        ({"queries": [QUERY], "seed": -1}, "seed"),
        ({"queries": [QUERY], "seed": 2**63}, "seed"),
        ({"queries": [QUERY], "seed": "0"}, "seed"),
        ({"queries": [QUERY], "ties": "best"}, "ties"),
        ({"queries": [QUERY], "filtered": "yes"}, "filtered"),
        ({"queries": [QUERY], "return_proof": 1}, "return_proof"),
        ([], "body"),
        (None, "body"),
        (7, "body"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_with_its_field(
    client: httpx.Client, request_body: Any, field: str
) -> None:
    assert first_error(client, request_body)["field"] == field


@pytest.mark.parametrize(
    ("request_body", "field", "nearest"),
    [
        ({"queries": [QUERY], "corruption": 5}, "corruption", "corruptions"),
        ({"queries": [{**QUERY, "candidate": ["ben"]}]}, "queries[0].candidate", "candidates"),
    ],
)
def test_an_unknown_field_is_told_with_the_nearest_known_ones(
    client: httpx.Client, request_body: Any, field: str, nearest: str
) -> None:
    error = first_error(client, request_body)
    assert error["field"] == field
    assert error["message"] == "no such field"
    assert error["nearest"][0] == nearest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"queries": [', "not JSON: "),
        (b"queries", "not JSON: "),
        (b"\xff\xfe\xfd", "not JSON: "),
        (b"[" * 100_000, "not JSON: nested too deeply"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "not JSON: "),
        (b"", "field required"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_so(client: httpx.Client, content: bytes, message: str) -> None:
    error = first_error_of_text(client, content)
    assert error["field"] == "body"
    assert error["message"].startswith(message)


@pytest.mark.parametrize(
    ("number", "shown"), [(b"NaN", "nan"), (b"1e999", "inf"), (b"-Infinity", "-inf"), (b"1e3", 1000.0)]
)
@pytest.mark.parametrize("field", ["seed", "corruptions"])
def test_a_number_that_is_no_whole_number_is_told_with_its_value(
    client: httpx.Client, number: bytes, shown: Any, field: str
) -> None:
    content = b'{"queries": [%s], "%s": %s}' % (json.dumps(QUERY).encode(), field.encode(), number)
    error = first_error_of_text(client, content)
    assert (error["field"], error["value"]) == (field, shown)


@pytest.mark.parametrize("place", ["name", "key", "wrong type"])
def test_half_a_surrogate_pair_is_refused_and_shown_as_it_was_sent(client: httpx.Client, place: str) -> None:
    half = rb"\ud800"
    head = b'["%s"]' % half if place == "wrong type" else b'"%s"' % (half if place == "name" else b"anna")
    extra = b', "%s": 1' % half if place == "key" else b""
    query = b'{"head": %s, "relation": "ancestor", "tail": "ben"}' % head
    error = first_error_of_text(client, b'{"queries": [%s]%s}' % (query, extra))
    assert "\ud800" in json.dumps(error, ensure_ascii=False)


@pytest.mark.parametrize(
    "media_type",
    [
        "APPLICATION/JSON",
        "application/json; charset",
        'application/json; charset="UTF-8"',
        "application/json;;;",
        "application/vnd.api+json",
    ],
)
def test_json_may_be_declared_in_any_way_that_means_it(client: httpx.Client, media_type: str) -> None:
    content = json.dumps({"queries": [QUERY]})
    assert client.post("/rank", content=content, headers={"content-type": media_type}).status_code == 200


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "text/xml",
        "text/json",
        "application/jsonx",
        "application/json, text/plain",
        "json",
        "/",
        "*/*",
        "",
        None,
    ],
)
def test_a_body_that_is_not_declared_as_json_is_refused(client: httpx.Client, media_type: str | None) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    body = refusal(client.post("/rank", content=json.dumps({"queries": [QUERY]}), headers=headers))
    assert body["errors"][0]["message"] == "expected JSON with Content-Type: application/json"


def test_a_candidate_for_the_second_time_is_refused(client: httpx.Client) -> None:
    error = first_error(client, {"queries": [{**QUERY, "side": "tail", "candidates": ["ben", "eva", "ben"]}]})
    assert error["field"] == "queries[0].candidates[2]"
    assert error["message"] == "a candidate for the second time"


@pytest.mark.parametrize("sides", [({}, {}), ({"side": "both"}, {"side": "tail"}), ({}, {"side": "both"})])
def test_own_candidates_need_one_side(
    client: httpx.Client, sides: tuple[dict[str, str], dict[str, str]]
) -> None:
    of_query, of_request = sides
    error = first_error(client, {"queries": [{**QUERY, "candidates": ["ben"], **of_query}], **of_request})
    assert (error["field"], error["value"]) == ("queries[0].side", "both")


def test_too_many_queries_are_refused_and_the_limit_is_told(client: httpx.Client) -> None:
    error = first_error(client, {"queries": [QUERY] * (MAX_QUERIES + 1), "corruptions": 0})
    assert (error["field"], error["value"]) == ("queries", MAX_QUERIES + 1)
    assert str(MAX_QUERIES) in error["message"]
    assert client.post("/rank", json={"queries": [QUERY] * MAX_QUERIES, "corruptions": 0}).status_code == 200


def test_too_many_candidates_are_refused_and_the_limit_is_told(client: httpx.Client) -> None:
    error = first_error(client, {"queries": [QUERY] * MAX_QUERIES})
    assert (error["field"], error["value"]) == ("corruptions", 50)
    assert str(MAX_CANDIDATES) in error["message"]


def test_too_many_own_candidates_are_refused_before_they_are_looked_up(client: httpx.Client) -> None:
    names = [f"nobody{index}" for index in range(MAX_CANDIDATES + 1)]
    error = first_error(client, {"queries": [{**QUERY, "side": "tail", "candidates": names}]})
    assert (error["field"], error["value"]) == ("queries[0].candidates", MAX_CANDIDATES + 1)


def test_too_many_proofs_are_refused_and_the_limit_is_told(client: httpx.Client) -> None:
    error = first_error(client, {"queries": [QUERY] * (MAX_PROOFS + 1), "return_proof": True})
    assert str(MAX_PROOFS) in error["message"]


def test_a_body_of_declared_length_over_the_limit_is_refused(client: httpx.Client) -> None:
    body = refusal(client.post("/rank", content=b" " * (MAX_BODY_BYTES + 1)), 413)
    assert str(MAX_BODY_BYTES) in body["detail"]


def test_a_body_of_declared_length_over_the_limit_is_refused_before_it_is_sent(server: RunningServer) -> None:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
        head = f"POST /rank HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_streamed_body_over_the_limit_is_refused(client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(5):
            yield b" " * (MAX_BODY_BYTES // 4)

    answer = client.post("/rank", content=pieces(), headers={"content-type": "application/json"})
    assert str(MAX_BODY_BYTES) in refusal(answer, 413)["detail"]


def test_of_many_bad_queries_only_the_first_is_told(client: httpx.Client) -> None:
    body = refusal(client.post("/rank", json={"queries": [0] * 50_000}))
    assert [error["field"] for error in body["errors"]] == ["queries[0]"]


def test_of_many_bad_candidates_only_the_first_is_told(client: httpx.Client) -> None:
    query = {**QUERY, "side": "tail", "candidates": [0] * 50_000}
    body = refusal(client.post("/rank", json={"queries": [query]}))
    assert [error["field"] for error in body["errors"]] == ["queries[0].candidates[0]"]


def test_long_values_and_long_field_names_are_shortened(client: httpx.Client) -> None:
    answer = client.post("/rank", json={"queries": [{**QUERY, "head": "x" * 5000}], "y" * 5000: 1})
    refusal(answer)
    assert len(answer.content) < 3000


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/rank", 405), ("DELETE", "/info", 405)]
)
def test_an_unknown_path_or_method_is_a_problem_too(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    refusal(client.request(method, path), status)
