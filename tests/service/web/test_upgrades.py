"""Clients that offer another protocol (``Upgrade``) are answered in HTTP/1.1, with all that they sent."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.helpers.serving import RunningServer

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
BODY = json.dumps({"queries": [QUERY]}).encode()

OFFERS = {
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "websocket": "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "TLS, as RFC 2817 has it": "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
    "none, with a header left over": "Upgrade: h2c\r\n",
}
SECONDS = 300.0


@pytest.fixture(scope="module", params=["httptools", "h11"])
def parsing_server(request: pytest.FixtureRequest, serve_arguments: list[str]) -> Iterator[RunningServer]:
    """A server, and one whose connections are parsed by uvicorn's other parser, as where httptools is missing."""
    module = {"httptools": "proofrank.service.cli.main", "h11": "tests.helpers.serve_with_h11"}[request.param]
    with RunningServer(*serve_arguments, module=module) as server:
        yield server.wait_until_ready()


def head(offer: str, framing: str, method: str = "POST", path: str = "/rank") -> bytes:
    """The head of a request."""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{offer}{framing}\r\n".encode()


def chunked(body: bytes) -> bytes:
    """``body`` in two chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:], b""))


FRAMINGS = {
    "a length": (f"Content-Length: {len(BODY)}\r\n", BODY),
    "chunks": ("Transfer-Encoding: chunked\r\n", chunked(BODY)),
}


def answers(server: RunningServer, pieces: Sequence[bytes], number: int) -> list[tuple[int, bytes]]:
    """Status and body of each answer on one connection, on which the pieces were sent one after the other."""
    url = httpx.URL(server.url)
    found = []
    with socket.create_connection((url.host, url.port or 0), timeout=SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.02)  # so that they come apart; together they would do as well
        with connection.makefile("rb") as received:
            for _ in range(number):
                status = int(received.readline().split()[1])
                length = 0
                while (line := received.readline()) != b"\r\n":
                    name, _, value = line.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                found.append((status, received.read(length)))
    return found


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("cut", ["nowhere", "behind the head", "in the head and in the body"])
def test_a_request_that_offers_an_upgrade_is_read_with_its_body(
    parsing_server: RunningServer, offer: str, framing: str, cut: str
) -> None:
    headers, body = FRAMINGS[framing]
    written = head(OFFERS[offer], headers) + body
    behind = len(written) - len(body)
    cuts = {"nowhere": [], "behind the head": [behind], "in the head and in the body": [30, behind + 5]}[cut]
    ends = [*cuts, len(written)]
    pieces = [written[begin:end] for begin, end in zip([0, *cuts], ends, strict=True)]

    ((status, answer),) = answers(parsing_server, pieces, 1)

    assert status == 200, answer
    assert json.loads(answer)["queries"][0]["head"] == "anna"


def test_a_connection_goes_on_after_an_offer(parsing_server: RunningServer) -> None:
    offer = OFFERS["h2c"]
    with_body = head(offer, f"Content-Length: {len(BODY)}\r\n") + BODY
    without = head(offer, "", "GET", "/healthz")
    url = httpx.URL(parsing_server.url)
    with (
        socket.create_connection((url.host, url.port or 0), timeout=SECONDS) as connection,
        connection.makefile("rb") as received,
    ):
        for request in (with_body, without, with_body, without, head("", "", "GET", "/healthz")):
            connection.sendall(request)
            assert received.readline().startswith(b"HTTP/1.1 200")
            length = 0
            while (line := received.readline()) != b"\r\n":
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            assert json.loads(received.read(length))


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on the path")
def test_curl_that_would_rather_speak_http_2_is_answered(parsing_server: RunningServer) -> None:
    command = ["curl", "-sS", "--http2", "-H", "Content-Type: application/json", "-d", BODY.decode()]
    done = subprocess.run(
        [*command, f"{parsing_server.url}/rank"], capture_output=True, timeout=SECONDS, check=True
    )
    assert json.loads(done.stdout)["metrics"]["rankings"] == 2


JAVA = """
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;

public class Ask {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        for (int i = 0; i < 3; i++) {
            var request = HttpRequest.newBuilder(URI.create(arguments[0]))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofFile(Path.of(arguments[1])))
                .build();
            var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode());
        }
    }
}
"""


@pytest.mark.skipif(shutil.which("java") is None, reason="no java on the path")
def test_the_client_of_java_is_answered(parsing_server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "Ask.java").write_text(JAVA, encoding="utf-8")
    (tmp_path / "body.json").write_bytes(BODY)
    command = ["java", str(tmp_path / "Ask.java"), f"{parsing_server.url}/rank", str(tmp_path / "body.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.stdout.split() == ["200", "200", "200"], done.stderr
