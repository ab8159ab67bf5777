"""A server binds first: what cannot work ends it at once, with status 2 and one line, before anything is touched."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import torch

from proofrank.service.settings.settings import SettingsError, load_settings
from proofrank.service.web.listening import Listeners
from tests.helpers.serving import RunningServer, run_command


def line_of(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused start says."""
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("proofrank: ")
    return line.removeprefix("proofrank: ")


def refused(serve_arguments: list[str], *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What a start with these arguments is refused with."""
    return line_of(run_command("serve", *serve_arguments, *arguments, environment=environment))


def test_a_port_in_use_ends_the_server_at_once_and_touches_nothing(
    serve_arguments: list[str], tmp_path: Path
) -> None:
    data = ("--data-folder", str(tmp_path / "data"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(serve_arguments, *data, "--port", port)
        assert line == f"--port is '{port}': already in use on 127.0.0.1; another process listens there"
        line = refused(serve_arguments, *data, environment={"PROOFRANK_PORT": port})
        assert line.startswith(f"PROOFRANK_PORT in the environment is '{port}': already in use")
        config = tmp_path / "proofrank.toml"
        config.write_text(f"port = {port}\n", encoding="utf-8")
        line = refused(serve_arguments, *data, "--config", str(config))
        assert line.startswith(f"port in {config} is '{port}': already in use")
    assert not (tmp_path / "data").exists()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_bound_port_refuses_clients_until_it_is_served() -> None:
    with closing(Listeners(load_settings({"port": free_port()}, {}))) as listeners:
        address = listeners.main[0].socket.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=300)
        listeners.listen()
        socket.create_connection(address, timeout=300).close()


def test_a_port_that_another_process_takes_between_binding_and_serving_is_told_too() -> None:
    settings = load_settings({"port": free_port()}, {})
    with closing(Listeners(settings)) as listeners, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", settings.port))
        other.listen()
        with pytest.raises(SettingsError, match=rf"^--port is '{settings.port}': already in use on"):
            listeners.listen()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "no-such-host.invalid"], "--host is 'no-such-host.invalid': unknown host 'no-such-host.invalid'"),
        (["--host", "192.0.2.1"], "--host is '192.0.2.1': 192.0.2.1 is no address of this machine"),
        (["--host", "127.0.0.1,192.0.2.1"], "--host is '127.0.0.1,192.0.2.1': 192.0.2.1 is no address"),
        (["--host", ""], "--host is '': expected an address such as 127.0.0.1"),
        (["--host", "127.0.0.1:8000"], "--host is '127.0.0.1:8000': unknown host '127.0.0.1:8000': "),
        (["--host", "[::1]"], "--host is '[::1]': unknown host '[::1]': "),
        (["--host", "a..b"], "--host is 'a..b': unknown host 'a..b': not the name of a host; expected a name or an"),
        (["--host", "0.0.0.0,127.0.0.1"], "--port is '0': already in use on 127.0.0.1, by this server; expected"),
        (["--root-path", "/a/../b"], "--root-path is '/a/../b': expected a path such as /proofrank"),
        (["--threads", "99999999999"], "--threads is '99999999999': "),
        (["--buckets", "64,99999999999"], "--buckets is "),
        (["--buckets", "64,"], "--buckets is ''"),
        (["--grace-seconds", "inf"], "--grace-seconds is 'inf': "),
        (["--padding-states", "99999999999"], "--padding-states is '99999999999': "),
        (["--trusted-proxies", "10.0.0.1/8"], "--trusted-proxies is '10.0.0.1/8': expected addresses"),
        (["--rate-limit", "0/minute"], "--rate-limit is '0/minute': expected one rate"),
        (["--log-level", "loud"], "--log-level is 'loud': "),
        (["--rules-format", "amye"], "--rules-format is 'amye': expected one of"),
        (["--policy", "untrained:x"], "--policy is 'untrained:x': no such folder; expected a checkpoint folder"),
        (["--config", "/nowhere.toml"], "settings file /nowhere.toml cannot be read: No such file"),
        (["--unix-socket", "/nowhere/s"], "--unix-socket is '/nowhere/s': cannot be made: No such file"),
        (["--unix-socket", "/" + 200 * "x"], f"--unix-socket is '/{200 * 'x'}': cannot be made: "),
        (["--root-path", "proofrank"], "--root-path is 'proofrank': expected a path such as /proofrank"),
        (["--keep-alive-seconds", "0"], "--keep-alive-seconds is '0': "),
        (["--trusted-proxies", "nginx"], "--trusted-proxies is 'nginx': expected addresses, networks or unix"),
        (["--engine", "foo"], "--engine is 'foo': unknown engine 'foo'"),
        (["--engine", "eager", "--precision", "fp8"], "--precision is 'fp8': precision is 'fp8'; expected one of"),
        (["--engine", "eager", "--device", "gpu"], "--device is 'gpu': unknown device 'gpu'; expected cpu, cuda"),
        (["--engine", "eager", "--device", "meta"], "--device is 'meta': device 'meta' cannot be used"),
        (["--dataset", "/nowhere"], "--dataset is '/nowhere': no such folder; expected a dataset folder"),
        (["--policy", "/nowhere"], "--policy is '/nowhere': no such folder; expected a checkpoint folder"),
        (["--policy", "/etc/passwd"], "--policy is '/etc/passwd': no folder, but a file; expected"),
        (["--data-folder", "/etc/passwd"], "--data-folder is '/etc/passwd': a file of this name is in the way"),
        (["--data-folder", "/proc/nowhere"], "--data-folder is '/proc/nowhere': data folder /proc/nowhere cannot"),
        (["--cache-folder", "/etc/passwd"], "--cache-folder is '/etc/passwd': a file of this name is in the way"),
    ],
)  # fmt: skip
def test_what_cannot_work_ends_with_2_and_a_line_that_names_setting_value_and_origin(
    serve_arguments: list[str], arguments: list[str], message: str
) -> None:
    assert refused(serve_arguments, "--port", "0", *arguments).startswith(message)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PROOFRANK_PORT", "", "PROOFRANK_PORT in the environment is '': "),
        ("PROOFRANK_STRICT", "maybe", "PROOFRANK_STRICT in the environment is 'maybe': "),
        ("PROOFRANK_HOSTS", "::1", "unknown setting: PROOFRANK_HOSTS in the environment; did you mean 'host'?"),
        ("PROOFRANK_HOST", "no-such-host.invalid", "PROOFRANK_HOST in the environment is 'no-such-host.invalid': "),
        ("PROOFRANK_CONFIG", "/nowhere.toml", "settings file /nowhere.toml cannot be read: "),
    ],
)  # fmt: skip
def test_a_variable_that_cannot_work_ends_the_server_too(variable: str, value: str, message: str) -> None:
    assert refused([], environment={variable: value}).startswith(message)


def test_a_port_for_two_purposes_is_told_as_such(serve_arguments: list[str]) -> None:
    port = str(free_port())
    line = refused(serve_arguments, "--port", port, "--metrics-port", port)
    assert line.startswith(
        f"--metrics-port is '{port}': already in use on 127.0.0.1, by this server; expected"
    )


def test_an_address_that_two_hosts_have_is_bound_once() -> None:
    with closing(Listeners(load_settings({"port": 0, "host": "127.0.0.1,127.0.0.1,localhost"}, {}))) as bound:
        addresses = [listener.socket.getsockname()[:2] for listener in bound.main]

    assert [address for address, _ in addresses].count("127.0.0.1") == 1
    assert len({port for _, port in addresses}) == 1


def test_a_value_that_nobody_gave_is_told_as_the_default(serve_arguments: list[str]) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8000))
        except OSError:
            pass  # somebody else has it: as good
        else:
            taken.listen()
        assert refused(serve_arguments).startswith("port is '8000' by default: already in use on 127.0.0.1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("command", ["serve", "evaluate"])
def test_cuda_where_there_is_none_is_one_line(command: str) -> None:
    ended = run_command(command, *(("--port", "0") if command == "serve" else ()), "--device", "cuda")
    line = line_of(ended)
    assert line.startswith(
        "--device is 'cuda': no CUDA device: " if command == "serve" else "no CUDA device: "
    )
    assert line.endswith("; expected cpu")


@pytest.mark.parametrize(
    "arguments", [["--engine", "foo"], ["--device", "gpu"], ["--precision", "tf32", "--device", "cpu"]]
)
def test_an_evaluation_that_cannot_work_ends_before_its_dataset_is_read(
    arguments: list[str], tmp_path: Path
) -> None:
    line = line_of(run_command("evaluate", "--dataset", str(tmp_path / "nowhere"), *arguments))
    assert arguments[1] in line
    assert "nowhere" not in line


def test_a_server_listens_on_several_addresses_and_tells_each(serve_arguments: list[str]) -> None:
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    with RunningServer(*serve_arguments, "--host", "127.0.0.1,::1", "--metrics-port", "0") as server:
        server.wait_until_ready()
        port = httpx.URL(server.url).port
        for address in (f"127.0.0.1:{port}", f"[::1]:{port}"):
            assert httpx.get(f"http://{address}/healthz", trust_env=False).status_code == 200
            assert f"Uvicorn running on http://{address} " in server.log
        assert server.log.count("metrics and health on http://") == 2
    with RunningServer(*serve_arguments, "--host", "0.0.0.0,::") as server:
        port = httpx.URL(server.wait_until_ready().url).port
        for address in (f"127.0.0.1:{port}", f"[::1]:{port}"):
            assert httpx.get(f"http://{address}/healthz", trust_env=False).status_code == 200


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def over(path: Path) -> httpx.Client:
    """A client that speaks through a unix socket."""
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://server", timeout=300)


def test_a_server_listens_on_a_unix_socket_and_removes_it(serve_arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / "proofrank.sock"
    with socket.socket(socket.AF_UNIX) as left_by_a_killed_server:
        left_by_a_killed_server.bind(str(path))
    with RunningServer(*serve_arguments, "--unix-socket", str(path)) as server:
        wait_for(f"Uvicorn running on unix:{path}", server)
        with over(path) as client:
            while client.get("/readyz").status_code != 200:
                time.sleep(0.01)
            query = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
            assert client.post("/rank", json={"queries": [query]}).status_code == 200
            second = refused(serve_arguments, "--unix-socket", str(path))
            assert second == f"--unix-socket is '{path}': another process listens on it"
            assert client.get("/healthz").status_code == 200
        server.send(signal.SIGTERM)
        assert server.wait() == 0
        assert '"client": "unix"' in server.log
    assert not path.exists()
    path.write_text("mine", encoding="utf-8")
    line = refused(serve_arguments, "--unix-socket", str(path))
    assert line == f"--unix-socket is '{path}': there is a file of this name, which is no socket"
    assert path.read_text(encoding="utf-8") == "mine"


def wait_for(text: str, server: RunningServer) -> None:
    """Returns once the log has this text."""
    deadline = time.monotonic() + 300
    while text not in server.log:
        assert time.monotonic() < deadline, server.log
        time.sleep(0.01)


def answer_on(connection: socket.socket, request: bytes) -> bytes:
    """The whole answer to a request for health; it may come in pieces."""
    connection.sendall(request)
    answer = b""
    while not answer.endswith(b'{"status":"ok"}') and (piece := connection.recv(65536)):
        answer += piece
    return answer


def test_an_idle_connection_outlives_that_of_a_proxy(serve_arguments: list[str]) -> None:
    """With the least patience there is, so that patience with slow clients would end it first."""
    with RunningServer(*serve_arguments, "--patience-seconds", "1", "--keep-alive-seconds", "5") as server:
        server.wait_until_ready()
        url = httpx.URL(server.url)
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        with socket.create_connection((url.host, url.port or 0), timeout=300) as connection:
            began = time.monotonic()
            assert answer_on(connection, request).startswith(b"HTTP/1.1 200")
            time.sleep(3)  # idle, three times longer than the patience
            assert answer_on(connection, request).startswith(b"HTTP/1.1 200")
            assert connection.recv(1) == b""  # until the server closes it
            assert 7.5 < time.monotonic() - began < 60
