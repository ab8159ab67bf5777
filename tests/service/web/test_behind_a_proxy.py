"""What a proxy needs of the service: a prefix, headers that are believed or not, HEAD, and encodings."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator

import httpx
import pytest

from proofrank.service.web.compression import takes_gzip
from tests.helpers.serving import RunningServer

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
MANY = {"queries": [QUERY] * 30, "corruptions": 2}
SENT_BY_A_PROXY = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/elsewhere",
}


@pytest.fixture(scope="module")
def prefixed(serve_arguments: list[str]) -> Iterator[RunningServer]:
    """A server at ``/graphs/proofrank`` that believes proxies on this machine, and logs everything."""
    arguments = ("--root-path", "/graphs/proofrank/", "--trusted-proxies", "127.0.0.1")
    with RunningServer(*serve_arguments, *arguments, "--log-level", "debug") as server:
        yield server.wait_until_ready()


@pytest.mark.parametrize(
    "prefix", ["", "/graphs/proofrank"], ids=["removed by the proxy", "left by the proxy"]
)
def test_a_service_under_a_prefix_is_found_and_names_its_addresses_with_it(
    prefixed: RunningServer, prefix: str
) -> None:
    client = prefixed.client
    assert client.get(f"{prefix}/healthz").status_code == 200
    assert client.post(f"{prefix}/rank", json={"queries": [QUERY]}).status_code == 200
    job = client.post(f"{prefix}/jobs", json={"split": "test"})
    assert job.headers["location"] == f"/graphs/proofrank/jobs/{job.json()['id']}"
    assert client.get(job.headers["location"]).json()["id"] == job.json()["id"]
    redirect = client.get(f"{prefix}/jobs/?limit=1")
    assert (redirect.status_code, redirect.headers["location"]) == (307, "/graphs/proofrank/jobs?limit=1")
    document = client.get(f"{prefix}/openapi.json").json()
    assert document["servers"][0] == {"url": "/graphs/proofrank"}
    metrics = client.get(f"{prefix}/metrics").text
    assert 'endpoint="/rank"' in metrics
    assert "/graphs" not in metrics


def test_a_trusted_proxy_says_who_the_client_is_and_where_it_sees_the_service(
    prefixed: RunningServer,
) -> None:
    headers = {**SENT_BY_A_PROXY, "X-Request-ID": "forwarded-1"}
    job = prefixed.client.post("/jobs", json={"split": "test"}, headers=headers)
    assert job.headers["location"].startswith("/elsewhere/jobs/")
    assert logged(prefixed, "forwarded-1")["client"] == "203.0.113.7"
    for bad in ("//evil.example/%0d%0a", "/a/../b", "/.", "elsewhere", "/else?where"):
        job = prefixed.client.post("/jobs", json={"split": "test"}, headers={"X-Forwarded-Prefix": bad})
        assert job.headers["location"].startswith("/graphs/proofrank/jobs/")


@pytest.mark.parametrize("client", ["garbage", "", "1.2.3.4, 5.6.7.8", "[::1]:80", "x" * 5000])
@pytest.mark.parametrize("scheme", ["javascript", "https, http", ""])
def test_odd_headers_of_a_trusted_proxy_do_no_harm(prefixed: RunningServer, client: str, scheme: str) -> None:
    headers = {"X-Forwarded-For": client, "X-Forwarded-Proto": scheme}
    assert prefixed.client.get("/healthz", headers=headers).status_code == 200


def test_a_prefix_starts_without_a_warning(prefixed: RunningServer) -> None:
    assert "deprecated" not in prefixed.log


def test_nobody_else_is_believed(server: RunningServer) -> None:
    headers = {**SENT_BY_A_PROXY, "X-Request-ID": "forged-1"}
    job = server.client.post("/jobs", json={"split": "test"}, headers=headers)
    assert job.headers["location"].startswith("/jobs/")
    assert logged(server, "forged-1")["client"] == "127.0.0.1"


def logged(server: RunningServer, request_id: str) -> dict[str, object]:
    """The line of a request in the log."""
    deadline = time.monotonic() + 300
    while True:
        for line in server.log.splitlines():
            if f'"{request_id}"' in line and '"event": "request"' in line:
                return json.loads(line)
        assert time.monotonic() < deadline, server.log
        time.sleep(0.01)


def test_head_is_wherever_get_is(client: httpx.Client) -> None:
    job_id = client.post("/jobs", json={"split": "test"}).json()["id"]
    while client.get(f"/jobs/{job_id}").json()["state"] != "done":
        time.sleep(0.01)
    document = client.get("/openapi.json").json()
    paths = [path for path, operations in document["paths"].items() if "get" in operations]
    assert {"/healthz", "/readyz", "/info", "/policies", "/jobs", "/jobs/{job_id}/events"} <= set(paths)
    for path in ("/metrics", "/openapi.json", *paths):
        address = path.format(job_id=job_id, run="run-7")
        got, head = client.get(address), client.head(address)
        assert head.status_code == got.status_code, path
        assert head.content == b"", path
        assert head.headers["content-type"] == got.headers["content-type"], path
    assert client.head("/nothing").status_code == 404
    refused = client.head("/rank")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert client.delete("/healthz").headers["allow"] == "GET, HEAD"


def test_head_of_a_stream_does_not_wait_for_its_end(serve_arguments: list[str]) -> None:
    with RunningServer(*serve_arguments) as server:
        client = server.wait_until_ready().client
        # Ranked one after the other, and far more than can be done meanwhile.
        jobs = [client.post("/jobs", json={"split": "train", "corruptions": "all"}) for _ in range(40)]
        last = jobs[-1].json()["id"]
        head = client.head(f"/jobs/{last}/events")
        assert head.headers["content-type"].startswith("text/event-stream")
        assert client.get("/healthz").status_code == 200  # on the same connection


def raw(client: httpx.Client, method: str, path: str, **options: object) -> httpx.Response:
    """The answer with its bytes as they came, by ``client.stream``."""
    with client.stream(method, path, **options) as answer:  # pyright: ignore[reportArgumentType]
        answer._content = b"".join(answer.iter_raw())
        return answer


def test_large_answers_are_sent_in_gzip_to_clients_that_take_it(client: httpx.Client) -> None:
    takes, refuses = {"Accept-Encoding": "br, gzip;q=0.5"}, {"Accept-Encoding": "gzip;q=0, br"}
    packed = raw(client, "POST", "/rank", json=MANY, headers=takes)
    plain = raw(client, "POST", "/rank", json=MANY, headers=refuses)
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    for answer in (packed, plain):
        assert "accept-encoding" in answer.headers["vary"].lower()
    assert len(packed.content) < len(plain.content) / 4
    unpacked, other = json.loads(gzip.decompress(packed.content)), plain.json()
    assert unpacked["queries"] == other["queries"]
    assert raw(client, "GET", "/metrics", headers=takes).headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("accepted", "is_taken"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip ; q=0.001", True),
        ("*;q=0, gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*, gzip;q=0", False),
        ("*;q=0", False),
        ("gzip;q=much", False),
        ("gzip;q=nan", False),
        ("br, deflate", False),
        ("gzippy", False),
        ("identity", False),
        (", ,", False),
        ("", False),
    ],
)
def test_gzip_is_sent_where_its_weight_is_above_0(accepted: str, is_taken: bool) -> None:
    assert takes_gzip(accepted) == is_taken


def test_a_client_may_say_in_two_headers_what_it_takes(client: httpx.Client) -> None:
    headers = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")]
    assert raw(client, "POST", "/rank", json=MANY, headers=headers).headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", ["/healthz", "/jobs/nothing"])
def test_small_answers_are_sent_as_they_are(client: httpx.Client, path: str) -> None:
    answer = raw(client, "GET", path, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


def test_events_are_neither_compressed_nor_held_back(client: httpx.Client) -> None:
    job_id = client.post("/jobs", json={"split": "train", "corruptions": "all"}).json()["id"]
    with client.stream("GET", f"/jobs/{job_id}/events", headers={"Accept-Encoding": "gzip"}) as answer:
        assert "content-encoding" not in answer.headers
        assert next(answer.iter_lines()).startswith("event: progress")


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd, gzip", "x" * 1000])
@pytest.mark.parametrize(("method", "path"), [("POST", "/rank"), ("POST", "/jobs"), ("PUT", "/policies/new")])
def test_an_encoded_body_is_refused_with_what_is_taken(
    client: httpx.Client, encoding: str, method: str, path: str
) -> None:
    body = gzip.compress(json.dumps({"queries": [QUERY]}).encode())
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    answer = client.request(method, path, content=body, headers=headers)
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["accept-encoding"] == "identity"
    assert f"Content-Encoding: {encoding[:64]}" in answer.json()["detail"]
    assert "accepted is identity" in answer.json()["detail"]
    document = client.get("/openapi.json").json()
    documented = document["paths"][path.replace("new", "{name}")][method.lower()]["responses"]
    assert "application/problem+json" in documented["415"]["content"]


def test_a_body_that_says_it_is_as_it_is_is_taken(client: httpx.Client) -> None:
    headers = {"Content-Encoding": "identity"}
    assert client.post("/rank", json={"queries": [QUERY]}, headers=headers).status_code == 200
