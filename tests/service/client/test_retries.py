"""What the client does where answers fail: again where that can help, as late as it was told, and not for ever."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from proofrank.service.client import (
    AccessError,
    AsyncClient,
    Client,
    ClientError,
    ConflictError,
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    NotReadyError,
    Retries,
    ServerError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from proofrank.service.client.retries import retry_after_seconds
from proofrank.service.engine.throughput import Throughput
from tests.helpers.scripted import Answer, ScriptedServer, problem

QUICK = Retries(total_seconds=5, first_pause=0.02, longest_pause=0.1)
QUERY = ("anna", "ancestor", "Zoë")
INFO = {
    "version": "0", "dataset": {}, "policy": {}, "prover": {}, "engine": "original", "device": "cpu", "torch": "2",
    "limits": {}, "startup_seconds": {},
}  # fmt: skip
JOB = {
    "id": "j1", "state": "queued", "created": "2026-01-31T12:00:00Z", "started": None, "finished": None,
    "policy": {"name": "p", "sha256": "0"}, "dataset": {"name": "d", "sha256": "0"}, "request": {},
    "progress": {"queries": 3, "queries_done": 0, "candidates": 9, "candidates_done": 0},
    "metrics": None, "error": None,
}  # fmt: skip
LOST = Answer(None)


def job(state: str, **changes: Any) -> Answer:
    """A job as the service answers it."""
    return Answer(200, {**JOB, "state": state, **changes})


def outcome(server: ScriptedServer, act: Callable[[Client], Any], retries: Retries = QUICK) -> Any:
    """What ``act`` returns, or the error that it raises."""
    with Client(server.url, retries=retries) as opened:
        try:
            return act(opened)
        except ClientError as error:
            return error


@pytest.mark.parametrize(
    "refusal",
    [
        problem(503, "not ready: warm up"),
        problem(429, "too much waits"),
        problem(408, "the body came too slowly"),
        Answer(502, "<html>Bad Gateway</html>", content_type="text/html"),
        Answer(504, "<html>Gateway Time-out</html>", content_type="text/html"),
        LOST,
    ],
    ids=["503", "429", "408", "502", "504 of a gateway", "connection lost"],
)
def test_what_can_pass_is_tried_again(refusal: Answer) -> None:
    with ScriptedServer([refusal, refusal, Answer(200, INFO)]) as server:
        assert outcome(server, Client.info).engine == "original"
        assert len(server.received) == 3


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (problem(422, "corruptions: wrong"), InvalidRequestError),
        (problem(413, "too large"), InvalidRequestError),
        (problem(401, "no key"), AccessError),
        (problem(403, "the key lacks the right 'rank'"), AccessError),
        (problem(404, "no job of this id"), NotFoundError),
        (problem(409, "the active policy"), ConflictError),
        (problem(500, "a fault"), ServerError),
        (problem(507, "the disk is full"), ServerError),
        (problem(504, "the deadline of 5 ms passed"), DeadlineError),
        (Answer(307, "", {"Location": "http://127.0.0.1:1/info"}), InvalidRequestError),
    ],
    ids=lambda value: getattr(value, "status", None),
)
def test_what_cannot_pass_is_not_tried_again(refusal: Answer, kind: type[ClientError]) -> None:
    with ScriptedServer([refusal]) as server:
        error = outcome(server, Client.info)
        assert type(error) is kind
        assert len(server.received) == 1
        if isinstance(refusal.body, dict):
            assert str(error) == refusal.body["detail"]


def test_a_pause_is_as_long_as_the_server_asks_for() -> None:
    with ScriptedServer([problem(503, "draining", Retry_After="1"), Answer(200, INFO)]) as server:
        outcome(server, Client.info)
        first, second = server.received
        assert 1.0 <= second.time - first.time < 2.0


def test_the_asynchronous_client_pauses_without_holding_the_loop() -> None:
    async def act(url: str) -> int:
        async with AsyncClient(url, retries=QUICK) as opened:
            asking = asyncio.create_task(opened.info())
            num_turns = 0
            while not asking.done():
                num_turns += 1
                await asyncio.sleep(0.01)
            assert (await asking).engine == "original"
            return num_turns

    with ScriptedServer([LOST, problem(503, "draining", Retry_After="1"), Answer(200, INFO)]) as server:
        assert asyncio.run(act(server.url)) > 20
        assert server.received[2].time - server.received[1].time >= 1.0


def test_retrying_ends_after_its_time_in_all() -> None:
    with ScriptedServer([problem(503, "warm up")]) as server:
        began = time.monotonic()
        error = outcome(server, Client.info, Retries(total_seconds=0.5, first_pause=0.05, longest_pause=0.1))
        assert isinstance(error, UnavailableError)
        assert str(error) == "warm up"
        assert time.monotonic() - began < 1.5
        assert len(server.received) >= 4


def test_a_pause_that_would_end_too_late_is_not_begun() -> None:
    with ScriptedServer([problem(429, "too much waits", Retry_After="3600")]) as server:
        began = time.monotonic()
        assert isinstance(outcome(server, Client.info), UnavailableError)
        assert time.monotonic() - began < 1.0


def test_without_retries_there_is_one_attempt() -> None:
    with ScriptedServer([problem(503, "warm up")]) as server:
        outcome(server, Client.info, Retries(total_seconds=0))
        assert len(server.received) == 1


def test_a_server_that_starts_late_is_found() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answers: list[Any] = []
    with Client(f"http://127.0.0.1:{port}", retries=QUICK) as opened:
        asking = threading.Thread(target=lambda: answers.append(opened.info()))
        asking.start()
        time.sleep(0.3)
        with ScriptedServer([Answer(200, INFO)], port=port):
            asking.join(5)
    assert [answer.engine for answer in answers] == ["original"]


def test_a_server_that_is_not_there_is_an_error_that_names_it() -> None:
    with (
        Client("http://127.0.0.1:1", retries=Retries(total_seconds=0)) as opened,
        pytest.raises(UnreachableError, match=r"no answer from http://127\.0\.0\.1:1: "),
    ):
        opened.rank([QUERY])


def test_a_slow_ranking_is_not_asked_for_twice() -> None:
    with ScriptedServer([Answer(200, {}, delay=0.6)]) as server:
        with Client(server.url, timeout=0.2, retries=QUICK) as opened:
            with pytest.raises(UnreachableError):
                opened.rank([QUERY])
            time.sleep(0.2)
        assert len(server.received) == 1


def test_a_deletion_whose_answer_was_lost_is_not_repeated() -> None:
    with ScriptedServer([LOST, Answer(204)]) as server:
        assert isinstance(outcome(server, lambda opened: opened.delete_policy("old")), UnreachableError)
        assert len(server.received) == 1


def test_a_deletion_that_was_refused_is_repeated() -> None:
    with ScriptedServer([problem(503, "draining"), Answer(204)]) as server:
        assert outcome(server, lambda opened: opened.delete_policy("old")) is None
        assert [request.method for request in server.received] == ["DELETE", "DELETE"]


def test_a_job_whose_answer_was_lost_is_submitted_again_under_the_same_key() -> None:
    with ScriptedServer([LOST, problem(503, "draining"), job("queued")]) as server:
        for _ in range(2):
            assert outcome(server, lambda opened: opened.submit("test", limit=3)).id == "j1"
        *same, other = [request.headers["Idempotency-Key"] for request in server.received]
        assert len(same) == 3
        assert len(set(same)) == 1
        assert other not in same
        assert json.loads(server.received[0].body) == {
            "split": "test", "side": "both", "corruptions": 50, "filtered": True, "seed": 0, "ties": "realistic",
            "limit": 3,
        }  # fmt: skip


def test_a_job_that_failed_is_an_error_with_what_the_server_says() -> None:
    with ScriptedServer([job("running"), job("running"), job("failed", error="the disk is full")]) as server:
        seen: list[str] = []
        error = outcome(
            server, lambda opened: opened.wait("j1", on_progress=lambda job: seen.append(job.state))
        )
        assert str(error) == "job j1 failed: the disk is full"
        assert seen == ["running", "running", "failed"]


def test_a_job_that_is_removed_while_one_waits_for_it_is_not_found() -> None:
    with ScriptedServer(
        [job("running"), problem(404, "there is no job 'j1'; it may have been removed")]
    ) as server:
        error = outcome(server, lambda opened: opened.wait("j1"))
        assert isinstance(error, NotFoundError)
        assert str(error) == "there is no job 'j1'; it may have been removed"


def test_a_cancellation_is_one_request_that_is_repeated_where_its_answer_was_lost() -> None:
    with ScriptedServer([LOST, job("cancelled")]) as server:
        assert outcome(server, lambda opened: opened.cancel_job("j1")).state == "cancelled"
        assert [(request.method, request.path) for request in server.received] == 2 * [
            ("POST", "/jobs/j1/cancel")
        ]


def test_waiting_until_ready_says_what_was_going_on() -> None:
    starting = Answer(503, {"ready": False, "stage": "warm up", "seconds": 7.2})
    with ScriptedServer([starting]) as server:
        error = outcome(server, lambda opened: opened.wait_until_ready(timeout=0.3))
        assert isinstance(error, NotReadyError)
        assert str(error) == "not ready after 0.3 s: warm up, for 7 s"


def test_waiting_until_ready_goes_on_where_a_proxy_answers_for_a_server_that_does_not_listen_yet() -> None:
    of_proxy = Answer(503, "<html>503 Service Unavailable</html>", content_type="text/html")
    with ScriptedServer([of_proxy, problem(503, "the server is stopping"), Answer(200, {})]) as server:
        assert outcome(server, lambda opened: opened.wait_until_ready(timeout=60)) is None
    with ScriptedServer([of_proxy]) as server:
        error = outcome(server, lambda opened: opened.wait_until_ready(timeout=0.3))
        assert isinstance(error, NotReadyError)
        assert str(error).startswith("not ready after 0.3 s: GET http://127.0.0.1:")


def test_the_api_key_is_sent_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PROOFRANK_API_KEY", "from-the-environment\n")
    with ScriptedServer([problem(503, "warm up"), Answer(200, INFO), problem(401, "unknown key")]) as server:
        with Client(server.url, api_key="given", retries=QUICK) as opened:
            opened.info()
            shown = repr(vars(opened))
        error = outcome(server, Client.info)
        keys = [request.headers["Authorization"] for request in server.received]
        assert keys == ["Bearer given", "Bearer given", "Bearer from-the-environment"]
        for text in (shown, str(error), caplog.text):
            assert "given" not in text
            assert "from-the-environment" not in text


def test_a_password_in_the_url_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ScriptedServer([problem(503, "warm up"), Answer(404, "no")]) as server:
        url = server.url.replace("http://", "http://name:se%40cret@")
        with Client(url, retries=QUICK) as opened:
            with pytest.raises(ClientError) as raised:
                opened.info()
            shown = repr(vars(opened))
        sent = [request.headers["Authorization"] for request in server.received]
    assert sent == [f"Basic {base64.b64encode(b'name:se@cret').decode()}"] * 2
    with (
        Client(url, retries=Retries(total_seconds=0)) as opened,
        pytest.raises(UnreachableError) as unreachable,
    ):
        opened.info()
    for text in (shown, str(raised.value), str(unreachable.value), caplog.text):
        assert "cret" not in text


def test_the_password_of_a_wrong_url_is_not_shown() -> None:
    for url in ("ftp://name:secret@host", "http://name:secret@host:port"):
        with pytest.raises(ClientError, match="is no URL") as raised:
            Client(url)
        assert "secret" not in str(raised.value)


def test_a_password_in_the_url_beside_an_api_key_is_refused() -> None:
    with pytest.raises(ClientError, match="the URL has a name and a password, and there is an API key too"):
        Client("http://name:secret@host", api_key="key")


def test_a_key_with_a_line_break_in_it_is_refused_without_showing_it() -> None:
    with pytest.raises(ClientError) as raised:
        Client(api_key="secret\r\nX-Other: 1")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<html>", "did not answer with JSON; is it a proofrank server"),
        ([], r"answer is \[\]: input should be an object"),
        ({**INFO, "version": 3}, r"answer\.version is 3: input should be a valid string"),
        (
            {**INFO, "limits": {"max_queries": "10"}},
            r"answer\.limits\.max_queries is '10': input should be a valid integer",
        ),
        ({name: value for name, value in INFO.items() if name != "torch"}, r"answer\.torch: field required"),
    ],
)
def test_an_answer_of_another_form_is_an_error_that_says_where(body: Any, message: str) -> None:
    with ScriptedServer([Answer(200, body)]) as server:
        error = outcome(server, Client.info)
    assert isinstance(error, UnexpectedAnswerError)
    assert re.search(message, str(error))


def test_fields_that_the_client_does_not_know_are_left_out() -> None:
    with ScriptedServer([Answer(200, {**INFO, "new": 1})]) as server:
        assert outcome(server, Client.info).engine == "original"


def test_an_option_of_a_job_that_the_client_does_not_know_is_left_out() -> None:
    with ScriptedServer([job("queued", request={"split": "valid", "new": 1})]) as server:
        assert outcome(server, lambda opened: opened.job("j1")).request.split == "valid"


def test_pauses_grow_with_jitter_up_to_the_longest() -> None:
    retries = Retries(total_seconds=60, first_pause=1, longest_pause=8)
    for num_failed, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (50, 8), (5000, 8)):
        pauses = [retries.pause(num_failed) for _ in range(50)]
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(set(pauses)) > 1
    assert all(20 <= retries.pause(1, retry_after=20) <= 22 for _ in range(50))


def test_a_client_has_the_patience_to_come_back_when_a_full_server_tells_it_to() -> None:
    throughput = Throughput()
    throughput.count(1)
    longest = throughput.seconds_for(10**9)
    retries = Retries()
    assert all(retries.pause(1, retry_after=longest) < retries.total_seconds for _ in range(50))


def test_retry_after_is_read_in_seconds_and_as_a_date() -> None:
    def read(**headers: str) -> float | None:
        return retry_after_seconds(
            httpx.Headers({name.replace("_", "-"): text for name, text in headers.items()})
        )

    then = "Wed, 21 Oct 2015 07:28:30 GMT"
    assert read(Retry_After="7") == 7
    assert read(Retry_After=then, Date="Wed, 21 Oct 2015 07:28:00 GMT") == 30
    assert read(Retry_After=then) == 0
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (read(Retry_After=soon) or 0) <= 30
    assert read(Retry_After="soon") is None
    assert read(Retry_After="-3") is None
    assert read() is None
