"""Who may come in, how often, and by which door: keys, rates, the port of metrics, other origins."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from proofrank.service.cli.main import main
from proofrank.service.settings.api_keys import ApiKey, find_key, hash_of
from proofrank.service.settings.settings import SettingsError, load_settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.web.json_bodies import MAX_FIELDS
from proofrank.service.web.rate_limits import _MOST_CLIENTS, ClientRates, network_of
from proofrank.service.web.stack import install_stack
from proofrank.service.wire.rank_request import MOST_RELATIONS
from tests.helpers.keys import KEEPER, RANKER, STRANGER, keys, made_key
from tests.helpers.limits import MAX_BODY_BYTES
from tests.helpers.serving import RunningServer, run_command

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
ORIGIN = "https://notebook.example.org"


@pytest.fixture(scope="module")
def guarded(serve_arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with keys, a port for metrics, and a page of another origin that may use it."""
    config = tmp_path_factory.mktemp("guarded") / "proofrank.toml"
    config.write_text(f'cors_origins = ["{ORIGIN}"]\n{RANKER.settings_lines}{KEEPER.settings_lines}')
    arguments = (*serve_arguments, "--config", str(config), "--metrics-port", "0")
    with RunningServer(*arguments) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def metrics_url(guarded: RunningServer) -> str:
    """Where that server has its metrics."""
    match = re.search(r"metrics and health on (http://[^\"\s]+)", guarded.log)
    assert match is not None, guarded.log
    return match[1]


def app_of(**settings: Any) -> FastAPI:
    """An application with nothing behind its doors: who is let in finds 404."""
    app = FastAPI()
    install_stack(app, load_settings(settings, {}), ServiceMetrics(), [])
    return app


def ask(
    app: FastAPI,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    address: str = "192.0.2.1",
    content: bytes = b"{}",
) -> httpx.Response:
    """What ``app`` answers to a client at ``address``."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://proofrank") as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(request())


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


# Keys


def test_a_key_opens_what_it_has_the_right_for(guarded: RunningServer) -> None:
    answer = guarded.client.post("/rank", json={"queries": [QUERY]}, headers=RANKER.headers)
    assert answer.status_code == 200
    assert guarded.client.get("/info", headers=RANKER.headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, "Bearer"),
        ({"Authorization": "Basic dHJhaW5lcjp4"}, "Bearer"),
        ({"Authorization": "Bearer"}, 'Bearer error="invalid_token"'),
        ({"Authorization": "Bearer trainer"}, 'Bearer error="invalid_token"'),
        (STRANGER.headers, 'Bearer error="invalid_token"'),
        ({"Authorization": RANKER.headers["Authorization"] + "x"}, 'Bearer error="invalid_token"'),
        ({"Authorization": f"Bearer {hash_of(RANKER.key.encode())}"}, 'Bearer error="invalid_token"'),
    ],
)
def test_without_a_key_of_the_server_nothing_is_ranked(
    guarded: RunningServer, headers: dict[str, str], challenge: str
) -> None:
    answer = guarded.client.post("/rank", json={"queries": [QUERY]}, headers=headers)
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == challenge


def test_two_keys_in_one_request_are_none(guarded: RunningServer) -> None:
    both = [("Authorization", made.headers["Authorization"]) for made in (RANKER, KEEPER)]
    problem(guarded.client.get("/info", headers=both), 401)


def test_a_key_that_lacks_the_right_is_refused_by_name(guarded: RunningServer) -> None:
    answer = guarded.client.post("/rank", json={"queries": [QUERY]}, headers=KEEPER.headers)
    assert problem(answer, 403)["detail"] == "needs the right 'rank', which the key 'keeper' lacks"
    assert 'scope="rank"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("method", "path", "status_of_ranker", "status_of_keeper"),
    [
        ("PUT", "/policies/epoch-1", 403, 404),
        ("POST", "/policies/epoch-1/activate", 403, 404),
        ("DELETE", "/policies/epoch-1", 403, 404),
        ("POST", "/sleep", 403, 404),
        ("POST", "/wake", 403, 404),
        ("GET", "/policies", 404, 403),
        ("POST", "/jobs", 404, 403),
        ("DELETE", "/jobs/1", 404, 403),
        ("GET", "/made-up", 404, 403),
    ],
)
def test_changing_what_is_served_is_a_right_of_its_own(
    method: str, path: str, status_of_ranker: int, status_of_keeper: int
) -> None:
    app = app_of(api_keys=keys(RANKER, KEEPER))
    assert ask(app, method, path, RANKER.headers).status_code == status_of_ranker
    assert ask(app, method, path, KEEPER.headers).status_code == status_of_keeper
    assert ask(app, method, path).status_code == 401


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/openapi.json", "/docs", "/docs/swagger-ui.css", "/", "/page/app.js"]
)
def test_health_and_the_openapi_document_are_open_to_all(guarded: RunningServer, path: str) -> None:
    assert guarded.client.get(path).status_code == 200


@pytest.mark.parametrize("host", ["x/healthz?", "x/healthz#", "x/metrics"])
def test_what_a_client_calls_the_host_opens_nothing(guarded: RunningServer, host: str) -> None:
    url = httpx.URL(guarded.url)
    with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
        connection.sendall(f"GET /info HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("path", ["/healthz/../rank", "//rank", "/healthz/rank", "/%72ank", "/rank/"])
def test_no_way_of_writing_a_path_opens_it(path: str) -> None:
    assert ask(app_of(api_keys=keys(RANKER)), "POST", path).status_code == 401


def test_a_stranger_is_refused_before_the_body_is_sent(guarded: RunningServer) -> None:
    url = httpx.URL(guarded.url)
    with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
        head = f"POST /rank HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")


def test_metrics_are_open_unless_they_are_set_to_need_a_key() -> None:
    assert ask(app_of(api_keys=keys(RANKER)), "GET", "/metrics").status_code == 404
    app = app_of(api_keys=keys(RANKER), metrics_needs_key=True)
    problem(ask(app, "GET", "/metrics"), 401)
    assert ask(app, "GET", "/metrics", RANKER.headers).status_code == 404


def test_the_openapi_document_tells_what_needs_a_key(guarded: RunningServer, client: httpx.Client) -> None:
    document = guarded.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    ranking = document["paths"]["/rank"]["post"]
    assert ranking["security"] == [{"key": []}]
    assert {"401", "403"} <= set(ranking["responses"])
    assert "security" not in document["paths"]["/healthz"]["get"]
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


def test_the_settings_hold_the_hash_of_a_key_and_not_the_key() -> None:
    (entry,) = tomllib.loads(RANKER.settings_lines)["api_keys"]
    assert entry == {"name": "trainer", "sha256": hash_of(RANKER.key.encode()), "rights": ["rank"]}
    assert RANKER.key not in RANKER.settings_lines
    assert made_key("trainer").key != RANKER.key


def test_each_of_many_keys_is_found_and_no_other() -> None:
    made = [made_key(f"key{index}") for index in range(5)]
    entries = [ApiKey(name=f"key{i}", sha256=hash_of(made[i].key.encode())) for i in range(5)]
    for index, one in enumerate(made):
        assert find_key(entries, one.key.encode()) is entries[index]
    assert find_key(entries, STRANGER.key.encode()) is None


MISPLACED_KEY = f"proofrank_{'k' * 43}"
"""In the place of its hash; not one made here, for a test's name must be the same in each process that runs tests."""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("not json", "expected a list of keys as JSON"),
        ('[{"name": "a"}]', "api_keys[0].sha256: "),
        (
            f'[{{"name": "a", "sha256": "{MISPLACED_KEY}"}}]',
            "api_keys[0].sha256: expected 64 hexadecimal digits",
        ),
        (f'[{{"name": "a b", "sha256": "{"0" * 64}"}}]', "api_keys[0].name: "),
        (f'[{{"name": "a", "sha256": "{"0" * 64}", "rights": ["root"]}}]', "api_keys[0].rights[0]: "),
        (f'[{{"name": "a", "sha256": "{"0" * 64}", "rights": []}}]', "api_keys[0].rights: "),
        (json.dumps([{"name": "a", "sha256": digit * 64} for digit in "01"]), "two have the name 'a'"),
        (json.dumps([{"name": name, "sha256": "0" * 64} for name in "ab"]), "two have the sha256 "),
    ],
)
def test_bad_keys_are_refused_at_start_without_being_repeated(value: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({}, {"PROOFRANK_API_KEYS": value})
    assert str(caught.value).startswith("PROOFRANK_API_KEYS in the environment: ")
    assert message in str(caught.value)
    assert MISPLACED_KEY not in str(caught.value)


@pytest.mark.parametrize("name", ["a b", "", "a\n", "x" * 65, ".hidden"])
def test_a_name_that_the_settings_would_not_take_makes_no_key(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", "--name", name]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "expected 1 to 64 letters" in printed.err


# Rates


def test_who_comes_too_often_is_told_when_to_come_again(serve_arguments: list[str]) -> None:
    with RunningServer(*serve_arguments, "--rate-limit", "3/second") as running:
        client = running.wait_until_ready().client
        refused = None
        for number in range(200):
            # Another address in a header that anybody can send makes nobody another client.
            answer = client.get("/info", headers={"X-Forwarded-For": f"198.51.100.{number}"})
            if answer.status_code == 429:
                refused = answer
                break
        assert refused is not None
        assert problem(refused, 429)["detail"] == "over the limit of 3 per 1 second for one address"
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").status_code == 200
        time.sleep(int(refused.headers["retry-after"]))
        assert client.get("/info").status_code == 200


def test_behind_a_trusted_proxy_each_address_that_it_names_is_a_client(serve_arguments: list[str]) -> None:
    arguments = (*serve_arguments, "--rate-limit", "1/hour", "--trusted-proxies", "192.0.2.7,127.0.0.0/8")
    with RunningServer(*arguments) as running:
        client = running.wait_until_ready().client
        named = ["198.51.100.1", "198.51.100.2", "198.51.100.1"]
        statuses = [client.get("/info", headers={"X-Forwarded-For": name}).status_code for name in named]
    assert statuses == [200, 200, 429]


def test_each_key_and_each_address_without_one_has_a_rate_of_its_own() -> None:
    app = app_of(api_keys=keys(RANKER, KEEPER), rate_limit="2/hour")
    for _ in range(2):
        assert ask(app, "POST", "/rank", RANKER.headers).status_code == 404
    assert ask(app, "POST", "/rank", RANKER.headers, address="192.0.2.9").status_code == 429
    assert ask(app, "POST", "/rank", KEEPER.headers).status_code == 403
    statuses = [ask(app, "POST", "/rank", STRANGER.headers).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]
    assert ask(app, "POST", "/rank", address="192.0.2.9").status_code == 401


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
    ],
)
def test_the_addresses_that_one_client_has_are_one(first: str, second: str, is_one: bool) -> None:
    assert (network_of(first) == network_of(second)) == is_one


@pytest.mark.parametrize("now", [1_000_000.0, 1_000_000.5, 1_000_019.999])
def test_a_rate_is_kept_over_any_window_and_waiting_as_told_is_enough(
    monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    monkeypatch.setattr(time, "time", lambda: now)

    async def come_as_often_as_allowed() -> list[float]:
        nonlocal now
        rates = ClientRates("10/minute")
        admitted = []
        while now < 1_000_500:
            seconds = await rates.seconds_to_wait("somebody")
            if seconds is None:
                admitted.append(now)
                continue
            now += seconds
            assert await rates.seconds_to_wait("somebody") is None
            admitted.append(now)
        return admitted

    admitted = asyncio.run(come_as_often_as_allowed())
    assert len(admitted) >= 60
    # The last window counts by its share, not by when its requests came: that is the price of two counters.
    most = max(sum(start <= moment < start + 60 for moment in admitted) for start in admitted)
    assert most <= 20


def test_a_clock_that_is_set_back_locks_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)

    async def use_up_and_set_back() -> tuple[int | None, int | None]:
        nonlocal now
        rates = ClientRates("1/minute")
        await rates.seconds_to_wait("somebody")
        refused = await rates.seconds_to_wait("somebody")
        now -= 24 * 3600
        return refused, await rates.seconds_to_wait("somebody")

    refused, afterwards = asyncio.run(use_up_and_set_back())
    assert refused is not None
    assert afterwards is None


def test_many_clients_do_not_fill_the_memory() -> None:
    async def come() -> ClientRates:
        rates = ClientRates("5/hour")
        for index in range(_MOST_CLIENTS + 200):
            await rates.seconds_to_wait(f"client {index}")
        return rates

    rates = asyncio.run(come())
    storage: Any = rates._limiter.storage
    assert len(storage.storage) <= _MOST_CLIENTS
    assert len(storage.locks) <= 2 * _MOST_CLIENTS


@pytest.mark.parametrize("rate", ["often", "0/minute", "5/fortnight", "1/second;5/minute", ""])
def test_a_rate_that_is_none_is_refused_at_start(rate: str) -> None:
    with pytest.raises(SettingsError, match="expected one rate, such as 600/minute"):
        load_settings({"rate_limit": rate}, {})


# Ports and origins


def test_with_a_port_of_their_own_metrics_are_on_no_other(guarded: RunningServer, metrics_url: str) -> None:
    assert "proofrank_ready 1.0" in httpx.get(f"{metrics_url}/metrics", trust_env=False).text
    assert guarded.client.get("/metrics", headers=RANKER.headers).status_code == 404
    for base in (guarded.url, metrics_url):
        assert httpx.get(f"{base}/healthz", trust_env=False).json() == {"status": "ok"}
        assert httpx.get(f"{base}/readyz", trust_env=False).json()["ready"] is True


def test_the_port_of_metrics_serves_nothing_else(metrics_url: str) -> None:
    for path in ("/info", "/openapi.json", "/rank"):
        answer = httpx.get(f"{metrics_url}{path}", headers=RANKER.headers, trust_env=False)
        problem(answer, 404)


def test_metrics_can_be_scraped_until_the_last_request_is_answered(serve_arguments: list[str]) -> None:
    body = json.dumps({"queries": [QUERY]}).encode()
    with RunningServer(*serve_arguments, "--metrics-port", "0") as server:
        server.wait_until_ready()
        match = re.search(r"metrics and health on (http://[^\"\s]+)", server.log)
        assert match is not None
        with server.unfinished_request("/rank", body) as connection:
            server.send(signal.SIGTERM)
            while "Shutting down" not in server.log:
                time.sleep(0.01)
            assert httpx.get(f"{match[1]}/metrics", trust_env=False).status_code == 200
            connection.sendall(body)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert server.wait() == 0


def test_a_port_of_metrics_that_is_taken_ends_the_server_with_2_and_says_so(
    serve_arguments: list[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_command("serve", *serve_arguments, "--port", "0", "--metrics-port", port)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"proofrank: --metrics-port is '{port}': already in use on 127.0.0.1; ")


def test_a_page_of_an_origin_that_is_named_may_use_the_service(guarded: RunningServer) -> None:
    preflight = guarded.client.options(
        "/rank",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    for headers, status in ((RANKER.headers, 200), ({}, 401)):
        answer = guarded.client.get("/info", headers={"Origin": ORIGIN, **headers})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("origin", ["https://elsewhere.example.org", "null", "http://notebook.example.org"])
def test_a_page_of_another_origin_may_not(guarded: RunningServer, origin: str) -> None:
    answer = guarded.client.get("/info", headers={"Origin": origin, **RANKER.headers})
    assert "access-control-allow-origin" not in answer.headers


def test_without_the_setting_no_page_of_another_origin_may(client: httpx.Client) -> None:
    assert "access-control-allow-origin" not in client.get("/info", headers={"Origin": ORIGIN}).headers


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "https://example.org/a", "all"])
def test_an_origin_that_is_none_is_refused_at_start(origin: str) -> None:
    with pytest.raises(SettingsError, match="expected origins such as"):
        load_settings({"cors_origins": origin}, {})


# What was held up, and what was counted elsewhere


def test_a_million_unknown_fields_hold_nobody_up(guarded: RunningServer) -> None:
    names = ",".join(f'"{index}":0' for index in range(15_000))
    for body in (f"{{{names}}}", f'{{"queries":[{{{names}}}]}}'):
        headers = {**RANKER.headers, "Content-Type": "application/json"}
        began = time.perf_counter()
        answer = guarded.client.post("/rank", content=body, headers=headers)
        assert "15000 fields" in problem(answer, 422)["detail"]
        assert time.perf_counter() - began < 1


def test_an_object_of_objects_may_have_as_many_fields_as_there_may_be_relations(client: httpx.Client) -> None:
    for number, message in (
        (MOST_RELATIONS, "'hybrid' gives weights"),
        (MOST_RELATIONS + 1, f"an object with {MOST_RELATIONS + 1} fields"),
    ):
        hybrid = {"by_relation": {f"relation{index}": {"weight": 0.5} for index in range(number)}}
        body = problem(client.post("/rank", json={"queries": [QUERY], "hybrid": hybrid}), 422)
        assert message in body["detail"]


def test_unknown_fields_that_are_few_enough_are_all_counted_and_the_first_told(client: httpx.Client) -> None:
    extra = {f"field{index}": 0 for index in range(MAX_FIELDS - 1)}
    body = problem(client.post("/rank", json={"queries": [QUERY], **extra}), 422)
    assert len(body["errors"]) == 20
    assert body["detail"] == f"field0: no such field (and {MAX_FIELDS - 2} more)"


def test_what_is_refused_on_the_way_is_counted_under_its_route(
    guarded: RunningServer, metrics_url: str
) -> None:
    guarded.client.post("/rank", content=b" " * (MAX_BODY_BYTES + 1), headers=RANKER.headers)
    guarded.client.post("/rank", content=b"{}")
    text = httpx.get(f"{metrics_url}/metrics", trust_env=False).text
    for status in (401, 413):
        assert f'proofrank_request_duration_seconds_count{{endpoint="/rank",status="{status}"}}' in text


def test_no_page_of_the_framework_loads_scripts_from_elsewhere(client: httpx.Client) -> None:
    problem(client.get("/redoc"), 404)


def test_a_fault_tells_the_client_nothing_but_the_id_of_its_request() -> None:
    app = app_of()

    @app.get("/fault")
    def fault() -> None:
        raise RuntimeError("the password is hunter2")

    answer = ask(app, "GET", "/fault", {"X-Request-ID": "run-7"})
    body = problem(answer, 500)
    assert body["request_id"] == "run-7"
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text


def test_settings_of_doors_come_from_a_file_as_lists(tmp_path: Path) -> None:
    config = tmp_path / "proofrank.toml"
    config.write_text(f'trusted_proxies = ["10.0.0.0/8"]\n{RANKER.settings_lines}{KEEPER.settings_lines}')
    settings = load_settings({}, {}, config)
    assert settings.trusted_proxies == ("10.0.0.0/8",)
    assert [(key.name, key.rights) for key in settings.api_keys] == [
        ("trainer", ("rank",)),
        ("keeper", ("policies",)),
    ]
