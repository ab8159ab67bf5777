"""The OpenAPI document describes all that operations take and answer, and ``/docs`` shows it without the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from tests.helpers.serving import RunningServer

OPERATION_IDS = {
    *("rank", "why", "sample"),
    *("submit_job", "list_jobs", "get_job", "follow_job", "cancel_job", "delete_job"),
    *("get_job_results", "get_job_results_csv", "get_job_results_parquet", "compare_jobs"),
    *("list_policies", "upload_policy", "activate_policy", "delete_policy"),
    *("list_runs", "get_run", "list_job_rankings", "get_job_groups", "get_activity"),
    *("get_graph", "list_names", "get_job_rules"),
    *("get_health", "get_readiness", "get_info", "sleep", "wake"),
}
PROBLEM = {"$ref": "#/components/schemas/ProblemBody"}


@pytest.fixture(scope="module")
def document(server: RunningServer) -> dict[str, Any]:
    """The document of a server without keys."""
    return server.client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The operations, by their ids."""
    found = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in found}) == len(found)
    return {operation["operationId"]: operation for operation in found}


def test_operations_have_names_that_read_well(operations: dict[str, Any]) -> None:
    assert set(operations) == OPERATION_IDS


def test_every_operation_has_a_described_tag_and_a_description(
    document: dict[str, Any], operations: dict[str, Any]
) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    for name, operation in operations.items():
        assert len(operation["tags"]) == 1, name
        assert set(operation["tags"]) <= described, name
        assert operation["description"].endswith("."), name


def test_every_error_has_a_typed_problem_body(operations: dict[str, Any]) -> None:
    num_problems = 0
    for name, operation in operations.items():
        for status, described in operation["responses"].items():
            if int(status) < 400 or (name, status) == ("get_readiness", "503"):
                continue
            assert described["content"] == {"application/problem+json": {"schema": PROBLEM}}, (name, status)
            assert described["description"].endswith("."), (name, status)
            num_problems += 1
    assert num_problems > 40


def test_a_problem_body_lists_the_wrong_fields(document: dict[str, Any]) -> None:
    problem = document["components"]["schemas"]["ProblemBody"]
    assert problem["properties"]["errors"]["items"] == {"$ref": "#/components/schemas/FieldError"}
    assert set(problem["required"]) == {"type", "title", "status", "detail", "errors", "request_id"}
    error = document["components"]["schemas"]["FieldError"]
    assert set(error["required"]) == {"field", "value", "message", "nearest"}


def test_a_422_is_described_only_where_it_is_sent(
    operations: dict[str, Any], document: dict[str, Any]
) -> None:
    described = {name for name, operation in operations.items() if "422" in operation["responses"]}
    assert described == {
        *("rank", "why", "sample", "submit_job", "list_jobs", "compare_jobs", "list_runs", "get_run"),
        *("list_job_rankings", "get_graph", "list_names", "get_job_rules"),
        *("upload_policy", "activate_policy", "delete_policy"),
    }
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("POST", "/rank", {"queries": []}, "rank"),
        ("POST", "/why", {"head": "anna"}, "why"),
        ("POST", "/sample", {"triples": []}, "sample"),
        ("POST", "/jobs", {}, "submit_job"),
        ("GET", "/jobs?limit=0", None, "list_jobs"),
        ("GET", "/compare?a=1", None, "compare_jobs"),
        ("GET", "/jobs/1/rankings?limit=0", None, "list_job_rankings"),
        ("GET", "/graph?limit=-1", None, "get_graph"),
        ("GET", "/names?kind=rule", None, "list_names"),
        ("GET", "/jobs/1/rules?limit=0", None, "get_job_rules"),
        ("GET", "/runs?limit=0", None, "list_runs"),
        ("GET", "/runs/run-7?limit=0", None, "get_run"),
        ("PUT", "/policies/-", None, "upload_policy"),
        ("POST", "/policies/-/activate", None, "activate_policy"),
        ("DELETE", "/policies/-", None, "delete_policy"),
    ],
)
def test_the_422_that_is_described_is_sent(
    client: httpx.Client, method: str, path: str, body: Any, name: str
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 422, name
    assert answer.json()["errors"]


def test_statuses_of_keys_and_rates_are_described_only_where_there_are_such(
    operations: dict[str, Any], serve_arguments: list[str]
) -> None:
    for name, operation in operations.items():
        assert not {"401", "403"} & set(operation["responses"]), name
    assert "429" not in operations["get_job"]["responses"]
    with RunningServer(*serve_arguments, "--rate-limit", "1000/second") as limited:
        document = limited.wait_until_ready().client.get("/openapi.json").json()
    assert "429" in document["paths"]["/jobs/{job_id}"]["get"]["responses"]
    assert "429" not in document["paths"]["/healthz"]["get"]["responses"]


def refers(schema: dict[str, Any]) -> bool:
    """Whether the fields of a field are described elsewhere."""
    inner = [*schema.get("anyOf", ()), schema.get("items"), schema.get("additionalProperties")]
    return "$ref" in schema or any(isinstance(part, dict) and refers(part) for part in inner)


def described_parts(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a body, and every parameter, with its name."""
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema["properties"].items():
            yield f"{name}.{field}", described
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", ()):
                schema = {**parameter["schema"], **parameter}
                yield f"{method} {path} {parameter['name']}", schema


def test_every_field_and_parameter_has_a_description_and_an_example(document: dict[str, Any]) -> None:
    parts = list(described_parts(document))
    assert len(parts) > 130
    for name, described in parts:
        assert re.match(r"[A-Z0-9].*\.$", described.get("description", "")), name
        assert described.get("examples") or described.get("example") or refers(described), name


class Loaded(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.urls += [
            value or "" for name, value in attrs if (tag, name) in {("script", "src"), ("link", "href")}
        ]


def loaded_by(page: httpx.Response) -> list[str]:
    """The URLs of what a page loads at once."""
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text
    parser = Loaded()
    parser.feed(page.text)
    return parser.urls


def test_the_page_of_the_document_loads_everything_from_the_server(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert "url: '/openapi.json'" in page.text
    types = {}
    for url in loaded_by(page):
        answer = client.get(url)
        assert answer.status_code == 200, url
        assert answer.content
        types[url.rpartition(".")[2]] = answer.headers["content-type"].partition(";")[0]
    assert types == {"js": "text/javascript", "css": "text/css", "png": "image/png"}


def test_the_page_of_the_document_works_under_the_path_of_a_proxy(serve_arguments: list[str]) -> None:
    with RunningServer(*serve_arguments, "--root-path", "/ranks") as behind:
        client = behind.wait_until_ready().client
        # The proxy removes its path, and the browser sees it.
        page = client.get("/docs")
        assert "url: '/ranks/openapi.json'" in page.text
        for url in loaded_by(page):
            assert url.startswith("/ranks/docs/")
            assert client.get(url.removeprefix("/ranks")).status_code == 200
