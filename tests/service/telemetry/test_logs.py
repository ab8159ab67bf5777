"""The log of a server: one line for each request, one form for all records, no secrets, no lines forged by clients."""

from __future__ import annotations

import io
import json
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from structlog.contextvars import bound_contextvars

from proofrank.service.telemetry.logs import REQUEST_FIELDS, make_handler
from tests.helpers.keys import RANKER, STRANGER, keys
from tests.helpers.serving import RunningServer, run_command

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}

Format = Literal["json", "text"]


@pytest.fixture(scope="module")
def logging_server(serve_arguments: list[str]) -> Iterator[RunningServer]:
    """A server with a key, that logs to a pipe."""
    with RunningServer(*serve_arguments, environment={"PROOFRANK_API_KEYS": keys(RANKER)}) as running:
        yield running.wait_until_ready()


def lines_of(server: RunningServer) -> list[dict[str, Any]]:
    """Returns the lines of a server's log, each parsed as JSON."""
    return [json.loads(line) for line in server.log.splitlines()]


def line_of_request(server: RunningServer, request_id: str) -> dict[str, Any]:
    """Returns the one line of a request that has been answered."""
    deadline = time.monotonic() + 300
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:
        found = [line for line in lines_of(server) if line.get("request_id") == request_id]
        time.sleep(0.01)
    (line,) = found
    return line


def written(log_format: Format, *records: logging.LogRecord) -> str:
    """Returns the text of these records in the log."""
    stream = io.StringIO()
    handler = make_handler(stream, log_format)
    for record in records:
        handler.handle(record)
    return stream.getvalue()


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    """Makes a record like those of a library."""
    made = logging.LogRecord("library", logging.INFO, __file__, 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


def record_of_fault(message: str) -> logging.LogRecord:
    """Makes a record with a traceback."""
    try:
        raise RuntimeError(message)
    except RuntimeError as error:
        trace = (type(error), error, error.__traceback__)
    return logging.LogRecord("library", logging.ERROR, __file__, 1, "fault", (), trace)


def test_a_request_has_one_line_that_tells_who_asked_what_and_how_it_went(
    logging_server: RunningServer,
) -> None:
    content = json.dumps({"queries": [QUERY]}).encode()
    headers = {**RANKER.headers, "Content-Type": "application/json", "X-Request-ID": "run-1"}
    logging_server.client.post("/rank", content=content, headers=headers)
    line = line_of_request(logging_server, "run-1")
    assert line.pop("seconds") > 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "proofrank.request",
        "request_id": "run-1",
        "method": "POST",
        "endpoint": "/rank",
        "status": 200,
        "bytes_in": len(content),
        "key": "trainer",
        "client": "127.0.0.1",
    }


@pytest.mark.parametrize(
    ("path", "made", "endpoint", "status", "key"),
    [
        ("/rank", STRANGER, "/rank", 401, None),
        ("/made/up", RANKER, "unknown", 404, "trainer"),
        ("/healthz", RANKER, "/healthz", 405, None),
    ],
)
def test_a_refused_request_has_its_line_too(
    logging_server: RunningServer, path: str, made: Any, endpoint: str, status: int, key: str | None
) -> None:
    request_id = f"refused-{status}"
    logging_server.client.post(path, headers={**made.headers, "X-Request-ID": request_id})
    line = line_of_request(logging_server, request_id)
    assert (line["endpoint"], line["status"], line["key"]) == (endpoint, status, key)


def test_probes_and_scrapes_are_logged_at_debug_only(
    logging_server: RunningServer, serve_arguments: list[str]
) -> None:
    paths = ("/healthz", "/readyz", "/metrics")
    with RunningServer(*serve_arguments, "--log-level", "debug") as talkative:
        for server in (logging_server, talkative.wait_until_ready()):
            for path in paths:
                for method in ("GET", "HEAD"):
                    headers = {"X-Request-ID": f"probe-{method}-{path[1:]}"}
                    assert server.client.request(method, path, headers=headers).status_code == 200
            server.client.get("/nothing", headers={"X-Request-ID": "other"})
            line_of_request(server, "other")
        assert "probe-" not in logging_server.log
        lines = [
            line_of_request(talkative, f"probe-{way}-{path[1:]}") for path in paths for way in ("GET", "HEAD")
        ]
    assert {line["level"] for line in lines} == {"debug"}


def test_a_log_that_is_no_terminal_is_json_whoever_wrote_it(logging_server: RunningServer) -> None:
    loggers = {line["logger"] for line in lines_of(logging_server)}
    assert {"proofrank", "proofrank.request", "uvicorn.error"} <= loggers
    assert "uvicorn.access" not in loggers


def test_neither_keys_nor_bodies_are_in_the_log(logging_server: RunningServer) -> None:
    for number, made in enumerate((RANKER, STRANGER)):
        headers = {**made.headers, "X-Request-ID": f"secret-{number}"}
        query = {**QUERY, "head": "a-name-that-nobody-has"}
        logging_server.client.post(f"/rank?key={made.key}", json={"queries": [query]}, headers=headers)
        line_of_request(logging_server, f"secret-{number}")
    for hidden in (RANKER.key, STRANGER.key, "a-name-that-nobody-has"):
        assert hidden not in logging_server.log


def test_text_is_for_people_and_the_level_leaves_out_what_is_below_it(
    serve_arguments: list[str], tmp_path: Path
) -> None:
    empty = str(tmp_path)
    ended = run_command("serve", *serve_arguments, "--dataset", empty, "--log-format", "text", "--port", "0")
    assert f"[error    ] cannot start: --dataset is '{empty}': " in ended.stderr
    assert "Uvicorn running on http://127.0.0.1:" in ended.stderr
    with RunningServer(*serve_arguments, "--host", "0.0.0.0", "--log-level", "warning") as server:
        deadline = time.monotonic() + 300
        while not server.log and time.monotonic() < deadline:
            time.sleep(0.01)
        (line,) = lines_of(server)
    assert line["level"] == "warning"
    assert line["event"] == "no api_keys are set: whoever reaches 0.0.0.0 may rank and change policies"


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("separator", ["\n", "\r\n", "\u2028", "\u0085", "\x0b", "\x1b[1A\x1b[2K"])
def test_what_a_client_wrote_cannot_make_a_second_line(log_format: Format, separator: str) -> None:
    forged = f"harmless{separator}2026-01-01T00:00:00Z [info] all is well"
    text = written(log_format, record("odd name %s", forged), record("request", request_id=forged))
    assert len(text.splitlines()) == 2
    assert text.replace("\n", "").isprintable()


def test_a_traceback_is_one_line_of_json_and_stands_behind_a_margin_in_text() -> None:
    fault = record_of_fault("bad name\n2026-01-01T00:00:00Z [info] all is well\x1b[2K")
    (line,) = written("json", fault).splitlines()
    assert json.loads(line)["exception"].startswith("Traceback")
    first, *trace = written("text", fault).splitlines()
    assert "fault" in first
    assert all(line.startswith("    | ") for line in trace)
    assert "\x1b" not in "".join(trace)


def test_python_warnings_are_records() -> None:
    stream = io.StringIO()
    handler = make_handler(stream, "json")
    logger = logging.getLogger("py.warnings")
    logger.addHandler(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        try:
            warnings.warn("this will go away", stacklevel=1)
        finally:
            logging.captureWarnings(False)
            logger.removeHandler(handler)
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["level"] == "warning"
    assert "this will go away" in json.loads(line)["event"]


def test_records_within_a_request_name_it() -> None:
    with bound_contextvars(request_id="run-7"):
        line = json.loads(written("json", record("stored")))
    assert line["request_id"] == "run-7"
    assert "request_id" in REQUEST_FIELDS


def test_half_a_surrogate_pair_does_not_stop_the_log() -> None:
    for log_format in ("json", "text"):
        written(log_format, record("odd name %s", "\ud800")).encode("utf-8")
