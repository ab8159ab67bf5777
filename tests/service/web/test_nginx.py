"""A real nginx in front, with the configuration in ``deploy/``: TLS, prefix, kept connections, large bodies, events."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from tests.helpers.serving import REPOSITORY, RunningServer
from tests.helpers.uploads import files_of

_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin"
NGINX, OPENSSL = shutil.which("nginx", path=_PATH), shutil.which("openssl", path=_PATH)
pytestmark = pytest.mark.skipif(
    NGINX is None or OPENSSL is None,
    reason="nginx or openssl are not there (Debian: packages nginx-light, openssl)",
)

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
PREFIX = "/proofrank"
SECONDS = 300.0

MAIN = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/proofrank.conf;
}}
"""


class Behind(NamedTuple):
    """A server for nginx to pass requests to, and what nginx is to call it."""

    server: RunningServer
    address: str


@pytest.fixture(scope="module", params=["a port", "a unix socket"])
def behind(
    request: pytest.FixtureRequest, serve_arguments: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    """A server as the configuration wants it."""
    path = tmp_path_factory.mktemp("server") / "socket"
    listening, peer = {
        "a port": ((), "127.0.0.1"),
        "a unix socket": (("--unix-socket", str(path)), "unix"),
    }[request.param]
    arguments = (*listening, "--trusted-proxies", peer, "--root-path", PREFIX, "--max-body-bytes", "8000000")
    with RunningServer(*serve_arguments, *arguments) as server:
        deadline = time.monotonic() + SECONDS
        while "Uvicorn running on" not in server.log or "ready (after" not in server.log:
            assert time.monotonic() < deadline, server.log
            time.sleep(0.01)
        yield Behind(server, f"unix:{path}" if listening else server.url.removeprefix("http://"))


@pytest.fixture(scope="module")
def nginx(behind: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client that sees the server through nginx."""
    assert NGINX is not None and OPENSSL is not None
    folder = tmp_path_factory.mktemp("nginx")
    certificate, key = folder / "proofrank.crt", folder / "proofrank.key"
    subprocess.run(
        [
            *(OPENSSL, "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    text = (REPOSITORY / "deploy/nginx.conf").read_text(encoding="utf-8")
    for written, here in {
        "server 127.0.0.1:8000;": f"server {behind.address};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/nginx/proofrank.crt": str(certificate),
        "/etc/nginx/proofrank.key": str(key),
    }.items():
        assert text.count(written) == 1
        text = text.replace(written, here)
    (folder / "proofrank.conf").write_text(text, encoding="utf-8")
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder), encoding="utf-8")
    process = subprocess.Popen(
        [NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "start.log")]
    )
    context = ssl.create_default_context(cafile=str(certificate))
    try:
        with httpx.Client(
            base_url=f"https://127.0.0.1:{port}{PREFIX}", verify=context, timeout=SECONDS, trust_env=False
        ) as client:
            wait_until_it_answers(client, process, folder)
            yield client
    finally:
        process.terminate()
        process.wait(SECONDS)


def wait_until_it_answers(client: httpx.Client, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Returns once nginx serves."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            assert client.get("/readyz").status_code == 200
            return
        except httpx.TransportError:
            logs = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.log"))
            assert process.poll() is None and time.monotonic() < deadline, logs
            time.sleep(0.02)


def test_addresses_have_prefix_and_https(nginx: httpx.Client) -> None:
    job = nginx.post("/jobs", json={"split": "test"})
    address = nginx.base_url.join(job.headers["location"])
    assert address.scheme == "https"
    assert nginx.get(address).json()["id"] == job.json()["id"]
    redirected = nginx.get("/jobs/?limit=1", follow_redirects=True)
    assert redirected.status_code == 200
    assert str(redirected.url) == f"{nginx.base_url}jobs?limit=1"
    assert nginx.get(str(nginx.base_url).rstrip("/") + "/healthz").status_code == 200
    assert nginx.head("/healthz").status_code == 200
    document = nginx.get("/openapi.json").json()
    server = nginx.base_url.join(document["servers"][0]["url"] + "/")
    assert nginx.get(server.join("info")).json()["dataset"]["name"] == "family"


def test_a_request_is_answered_in_gzip_and_counted_for_its_client(
    nginx: httpx.Client, behind: Behind
) -> None:
    answer = nginx.post(
        "/rank", json={"queries": [QUERY] * 30, "corruptions": 2}, headers={"X-Request-ID": "by-nginx"}
    )
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    deadline = time.monotonic() + SECONDS
    while '"by-nginx"' not in behind.server.log:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (line,) = (line for line in behind.server.log.splitlines() if '"by-nginx"' in line)
    assert json.loads(line)["client"] == "127.0.0.1"


def test_large_bodies_pass(nginx: httpx.Client, policy_folder: Path) -> None:
    body = b" " * 5_000_000 + json.dumps({"queries": [QUERY]}).encode()
    headers = {"Content-Type": "application/json"}
    assert nginx.post("/rank", content=body, headers=headers).status_code == 200
    assert nginx.post("/rank", content=b" " * 9_000_000, headers=headers).status_code == 413
    assert nginx.put("/policies/by-nginx", files=files_of(policy_folder)).status_code == 201


def test_events_come_while_the_job_runs(nginx: httpx.Client) -> None:
    job_id = nginx.post("/jobs", json={"split": "train", "corruptions": "all"}).json()["id"]
    with nginx.stream("GET", f"/jobs/{job_id}/events") as answer:
        names = [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]
    assert names[0] == "progress"
    assert names[-1] == "end"


def test_an_idle_connection_of_nginx_is_used_again(nginx: httpx.Client, behind: Behind) -> None:
    """Longer than the 5 seconds after which uvicorn alone would close it."""
    if behind.address.startswith("unix:"):
        pytest.skip("connections of unix sockets have no address to tell them by")

    def peers() -> set[int]:
        connections = psutil.Process(behind.server.process_id).net_connections("tcp4")
        return {each.raddr.port for each in connections if each.raddr and each.status == "ESTABLISHED"}

    assert nginx.get("/healthz").status_code == 200
    before = peers()
    time.sleep(7)
    assert nginx.get("/healthz").status_code == 200
    assert before and peers() <= before
