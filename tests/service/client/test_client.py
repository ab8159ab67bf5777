"""The client against a real server: what it sends is understood, and what it returns is what the server answered."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proofrank.service import wire
from proofrank.service.client import (
    AsyncClient,
    Client,
    ClientError,
    InvalidRequestError,
    NotFoundError,
    NotReadyError,
    Query,
    Retries,
)
from tests.helpers.serving import REPOSITORY, RunningServer, clean_environment

QUERIES = [("anna", "ancestor", "Zoë"), ("george.1", "ancestor", "cara"), ("eva", "parent", "Zoë")]
VARYING = {"request_id", "timing", "seconds"}


@pytest.fixture
def speaker(server: RunningServer) -> Iterator[Client]:
    """A client of the shared server."""
    with Client(server.url) as opened:
        yield opened


def to_json(answer: Any) -> Any:
    """Answers, or what they hold, as the server writes them, parsed."""
    if isinstance(answer, tuple):
        return [to_json(part) for part in answer]
    return json.loads(wire.answer_to_json(answer))


def without_varying(value: Any) -> Any:
    """An answer without what differs between two answers to the same request."""
    if isinstance(value, dict):
        return {name: without_varying(item) for name, item in value.items() if name not in VARYING}
    return [without_varying(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("side", ["head", "tail", "both"])
def test_a_result_has_all_that_the_server_answered(
    speaker: Client, client: httpx.Client, side: wire.SideOption
) -> None:
    options: dict[str, Any] = {
        "side": side,
        "corruptions": 3,
        "filtered": False,
        "seed": 7,
        "ties": "pessimistic",
        "return_candidates": True,
        "return_proof": True,
    }
    result = speaker.rank(QUERIES, **options)

    queries = [dict(zip(("head", "relation", "tail"), query, strict=True)) for query in QUERIES]
    answer = client.post("/rank", json={"queries": queries, **options}).json()
    assert without_varying(to_json(result)) == without_varying(answer)
    assert result.request_id
    assert result.timing.execution_seconds > 0


def test_the_options_that_are_not_given_are_those_that_the_server_takes(speaker: Client) -> None:
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(speaker.rank).parameters.items()
    }
    for name, field in wire.RankRequest.model_fields.items():
        if name != "queries":
            assert defaults[name] == field.default


def test_a_query_may_have_a_side_and_candidates_of_its_own(speaker: Client) -> None:
    query = Query("anna", "ancestor", "Zoë", side="tail", candidates=["Zoë", "ben"])
    (result,) = speaker.rank([query, QUERIES[1]], return_candidates=True, corruptions=0).queries[:1]
    (ranking,) = result.rankings
    assert ranking.candidates is not None
    assert [candidate.tail for candidate in ranking.candidates] == ["Zoë", "ben"]


def test_a_result_becomes_a_frame_with_a_row_for_each_ranking(speaker: Client) -> None:
    result = speaker.rank(QUERIES, corruptions="all")
    frame = result.to_frame()
    assert len(frame) == 2 * len(QUERIES)
    assert list(frame["tail"]) == ["Zoë", "Zoë", "cara", "cara", "Zoë", "Zoë"]
    assert list(frame["side"]) == ["head", "tail"] * 3
    ranks = list(frame["rank"])
    assert sum(1 / rank for rank in ranks) / len(ranks) == pytest.approx(result.metrics.mrr)
    assert list(frame["rank_realistic"]) == ranks


def test_the_asynchronous_client_answers_the_same(server: RunningServer, speaker: Client) -> None:
    async def ranked() -> tuple[list[Any], bool, str]:
        async with AsyncClient(server.url) as opened:
            await opened.wait_until_ready()
            results = await asyncio.gather(*(opened.rank(QUERIES, seed=seed) for seed in range(3)))
            return (
                [to_json(result) for result in results],
                await opened.is_ready(),
                (await opened.info()).engine,
            )

    results, is_ready, engine = asyncio.run(ranked())
    expected = [to_json(speaker.rank(QUERIES, seed=seed)) for seed in range(3)]
    assert without_varying(results) == without_varying(expected)
    assert is_ready
    assert engine == speaker.info().engine == "original"


def test_both_clients_do_the_same_things() -> None:
    def methods(kind: type) -> dict[str, inspect.Signature]:
        public = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        return {name: inspect.signature(value) for name, value in public.items() if callable(value)}

    assert methods(Client) == methods(AsyncClient)
    assert "evaluate" in methods(Client)


def test_several_threads_may_share_a_client(speaker: Client) -> None:
    results: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: results.update({seed: speaker.rank(QUERIES, seed=seed)}))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, result in results.items():
        assert without_varying(to_json(result)) == without_varying(to_json(speaker.rank(QUERIES, seed=seed)))
    assert len(results) == 4


def test_a_wrong_request_is_an_error_with_what_is_wrong_and_what_would_be_right(speaker: Client) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        speaker.rank([QUERIES[0], ("ana", "ancester", "Zoë")])
    error = raised.value
    assert error.status == 422
    assert [item.field for item in error.errors] == ["queries[1].relation", "queries[1].head"]
    assert error.errors[1].value == "ana"
    assert "anna" in error.errors[1].nearest
    assert "queries[1].head is 'ana'" in str(error)
    assert "did you mean 'ancestor'" in str(error)
    assert error.request_id


@pytest.mark.parametrize(
    ("queries", "options"),
    [
        ([], {}),
        ([("anna", "ancestor", "")], {}),
        ([("anna", "ancestor", 5)], {}),
        (QUERIES, {"corruptions": -1, "ties": "best"}),
        (QUERIES, {"seed": 2**63}),
    ],
)
def test_what_is_wrong_by_its_form_is_refused_unsent_as_the_server_would(
    speaker: Client, client: httpx.Client, queries: Any, options: dict[str, Any]
) -> None:
    sent = [dict(zip(("head", "relation", "tail"), query, strict=True)) for query in queries]
    answer = client.post("/rank", json={"queries": sent, **options})
    with pytest.raises(InvalidRequestError) as raised:
        speaker.rank(queries, **options)
    assert raised.value.status == answer.status_code == 422
    assert raised.value.detail == answer.json()["detail"]
    assert to_json(raised.value.errors) == answer.json()["errors"]
    assert raised.value.request_id is None


def test_candidates_of_a_query_in_a_job_are_refused_and_not_dropped(speaker: Client) -> None:
    with pytest.raises(InvalidRequestError, match=r"queries\[0\]\.candidates is .*: no such field"):
        speaker.submit([Query("anna", "ancestor", "Zoë", side="tail", candidates=["ben"])])


def test_a_query_that_no_dataset_can_have_is_refused_where_it_is_made() -> None:
    with pytest.raises(InvalidRequestError, match="side is 'left': input should be 'head', 'tail' or 'both'"):
        Query("anna", "ancestor", "Zoë", side="left")  # pyright: ignore[reportArgumentType]


def test_what_the_server_does_not_have_is_an_error_that_names_it(speaker: Client) -> None:
    with pytest.raises(NotFoundError, match=r"/policies/no%2Fsuch|no/such"):
        speaker.delete_policy("no/such")


@pytest.mark.parametrize("query", [("anna", "ancestor"), "abc"])
def test_what_is_no_query_is_refused_before_it_is_sent(speaker: Client, query: Any) -> None:
    with pytest.raises(
        ClientError, match=r"queries\[1\] is .*; expected a Query or \(head, relation, tail\)"
    ):
        speaker.rank([QUERIES[0], query])


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "nonsense", "http://[::1"])
def test_what_is_no_url_of_a_server_is_refused_at_once(url: str) -> None:
    with pytest.raises(ClientError, match="is no URL"):
        Client(url)


def test_a_server_that_starts_becomes_ready(serve_arguments: list[str]) -> None:
    with RunningServer(*serve_arguments) as starting:
        starting.wait_until_listening()
        with Client(starting.url, retries=Retries(total_seconds=0)) as opened:
            opened.wait_until_ready(timeout=60)
            assert opened.is_ready()
            assert opened.rank(QUERIES[:1], corruptions=1).metrics.queries == 1
        port = starting.url.rpartition(":")[2]
    with Client(f"http://127.0.0.1:{port}") as opened:
        assert not opened.is_ready()
        with pytest.raises(
            NotReadyError, match=r"not ready after 0\.2 s: no answer from http://127\.0\.0\.1"
        ):
            opened.wait_until_ready(timeout=0.2)


def test_the_options_that_the_client_takes_are_those_of_a_request(speaker: Client) -> None:
    assert set(inspect.signature(speaker.rank).parameters) - {"deadline_ms"} == set(
        wire.RankRequest.model_fields
    ) - {"deadline_ms"}


REFUSED = (
    "torch",
    "numpy",
    "fastapi",
    "starlette",
    "uvicorn",
    "prometheus_client",
    "rich",
    "pandas",
)

IMPORT_CLIENT = f"""
import sys

REFUSED = {REFUSED!r}

class Refuser:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ImportError(f"{{name}} is not installed here")
        return None

sys.meta_path.insert(0, Refuser())
from proofrank.service.client import Client, MissingLibraryError
with Client(sys.argv[1]) as opened:
    result = opened.rank([("anna", "ancestor", "Zoë")], corruptions=2)
print(result.policy.name, result.metrics.candidates)
"""


def run_without_libraries(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ``code`` in a process in which nothing but httpx and pydantic can be imported."""
    return subprocess.run(
        [sys.executable, "-c", IMPORT_CLIENT + code, *arguments],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_client_needs_httpx_and_pydantic_and_nothing_else(server: RunningServer) -> None:
    ended = run_without_libraries("", server.url)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "untrained 6\n"


def test_a_frame_without_pandas_is_an_error_that_says_what_to_install(server: RunningServer) -> None:
    ended = run_without_libraries("result.to_frame()", server.url)
    assert "MissingLibraryError: to_frame() needs pandas: pip install 'proofrank[frames]'" in ended.stderr


def test_a_policy_that_lacks_a_file_is_not_uploaded(speaker: Client, tmp_path: Path) -> None:
    (tmp_path / "policy.safetensors").write_bytes(b"")
    with pytest.raises(ClientError, match=r"policy\.json: no such file; a policy is policy\.safetensors, "):
        speaker.upload_policy("mine", tmp_path)
