"""What each extra of the package is enough for: a client machine has no torch, and is told what it lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofrank.service.cli.main import COMMANDS
from tests.helpers.serving import REPOSITORY, RunningServer, clean_environment, run_without

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
TRIPLE = ["anna", "ancestor", "Zoë"]

RUN_AS_CLIENT = """
import sys

ONLY_ON_SERVERS = sys.argv.pop(1).split(",")

class Refuser:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ONLY_ON_SERVERS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Refuser())
from proofrank.service.client import Client
from proofrank.service.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def libraries(extra: str) -> set[str]:
    """The names of the distributions that an extra brings, those of the extras that it names included."""
    found: set[str] = set()
    for requirement in [*PROJECT["dependencies"], *EXTRAS[extra]]:
        others = re.fullmatch(r"proofrank\[(.+)\]", requirement)
        if others is not None:
            found |= {name for other in others[1].split(",") for name in libraries(other)}
        else:
            found |= set(re.findall(r"^[\w-]+", requirement))
    return found


def modules_only_on_servers() -> Iterator[str]:
    """What can be imported from what the extra ``server`` brings and ``client`` does not."""
    as_module = {"python-multipart": "python_multipart", "sse-starlette": "sse_starlette"}
    for name in sorted(libraries("server") - libraries("client")):
        yield as_module.get(name, name.replace("-", "_"))
    yield from ("starlette", "multipart")


def run_as_client(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ``proofrank`` where nothing can be imported that only servers have."""
    return subprocess.run(
        [sys.executable, "-c", RUN_AS_CLIENT, ",".join(modules_only_on_servers()), *arguments],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_client_is_small_and_a_server_is_a_client_too() -> None:
    assert PROJECT["dependencies"] == []
    assert libraries("client") == {"httpx", "pydantic", "rich"}
    assert {"torch", "numpy", "fastapi", "httptools"} <= libraries("server")
    assert libraries("client") <= libraries("server")
    for extra in ("ray", "load", "benchmark", "simulation", "test"):
        assert libraries("server") <= libraries(extra)
    assert {command.extra for command in COMMANDS.values()} <= set(EXTRAS)


def test_a_client_machine_ranks_triples_splits_and_files(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "triples.tsv"
    file.write_text("\t".join(TRIPLE) + "\n", encoding="utf-8")
    for what in ([*TRIPLE, "--proof"], ["--split", "test", "--queries", "1"], ["--file", str(file)]):
        ended = run_as_client("rank", "--url", server.url, *what)
        assert ended.returncode == 0, ended.stderr
        assert "dataset family, policy untrained" in ended.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["rank", "--help"], ["--version"]])
def test_a_client_machine_has_help(arguments: list[str]) -> None:
    ended = run_as_client(*arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "proofrank" in ended.stdout


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.extra == "server"])
def test_a_command_that_a_client_machine_cannot_run_says_what_to_install(name: str) -> None:
    ended = run_as_client(name)
    assert ended.returncode == 2
    assert re.fullmatch(rf"proofrank: {name} needs \w+: pip install 'proofrank\[server\]'\n", ended.stderr)
    asked = run_as_client(name, "--help")
    # The settings, and so the options of `serve`, need no more than a client has.
    assert (asked.returncode, asked.stderr) == ((0, "") if name == "serve" else (2, ended.stderr))


def test_a_server_that_lacks_a_part_says_what_to_install() -> None:
    ended = run_without("fastapi", "serve")
    assert ended.returncode == 2
    assert ended.stderr == "proofrank: serve needs fastapi: pip install 'proofrank[server]'\n"


@pytest.mark.slow
def test_the_extra_client_installs_from_nothing_but_its_three_libraries(
    server: RunningServer, tmp_path: Path
) -> None:
    for name in ("proofrank", "core", "service", "training"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, tmp_path / "source" / name, ignore=ignored, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path / "source")
    venv.create(tmp_path / "venv", with_pip=True)
    python, command = (str(tmp_path / "venv" / "bin" / name) for name in ("python", "proofrank"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    prepared = run(python, "-m", "pip", "install", *EXTRAS["client"], "setuptools>=77")
    if prepared.returncode != 0:
        pytest.skip(f"no index of packages to install httpx from: {prepared.stderr[-300:]}")
    # From here on nothing else can be had: whatever the extra needed more would be missed.
    installed = run(
        *(python, "-m", "pip", "install", "--no-index", "--no-build-isolation", "./source[client]")
    )
    assert installed.returncode == 0, installed.stderr
    assert run(python, "-c", "import torch").returncode == 1
    ranked = run(command, "rank", "--url", server.url, *TRIPLE)
    assert ranked.returncode == 0, ranked.stderr
    assert "policy untrained" in ranked.stdout
    assert run(command, "evaluate").stderr.endswith("pip install 'proofrank[server]'\n")
