"""Runs a real Prometheus with the repository's rules against servers on the loopback interface."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import yaml

from tests.helpers.serving import REPOSITORY

MONITORING = REPOSITORY / "monitoring"

_PATIENCE = 300.0
_LISTENING = re.compile(r'msg="Listening on" address=(\S+)')


def without_prometheus() -> str | None:
    """Returns why tests that need Prometheus cannot run here; None if they can."""
    missing = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not on the path (Debian: package prometheus)" if missing else None


def promtool(*arguments: str, text: str | None = None) -> str:
    """Runs promtool, which must succeed, and returns its output."""
    done = subprocess.run(
        ["promtool", *arguments], input=text, capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def write_config(folder: Path, targets: Sequence[str]) -> Path:
    """Writes the repository's configuration with these targets, scraped every second instead of every 15."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(MONITORING / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"] = [{"targets": list(targets)}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


class RunningPrometheus:
    """A Prometheus process; a context manager that ends it."""

    def __init__(self, folder: Path, targets: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={write_config(folder, targets)}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._address: str | None = None
        self._has_address_or_end = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Returns the result of an instant query: ``metric`` and ``value`` of each series."""
        answer = self._client.get("/api/v1/query", params={"query": expression})
        body = answer.json()
        assert body["status"] == "success", f"{expression}: {body}"
        return body["data"]["result"]

    def numbers(self, expression: str) -> list[float]:
        """Returns the values of an instant query."""
        return [float(series["value"][1]) for series in self.query(expression)]

    def __enter__(self) -> RunningPrometheus:
        assert self._has_address_or_end.wait(_PATIENCE) and self._address, "".join(self._lines)
        self._client = httpx.Client(base_url=f"http://{self._address}", timeout=_PATIENCE, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line)
            match = _LISTENING.search(line)
            if match is not None:
                self._address = match[1]
                self._has_address_or_end.set()
        self._has_address_or_end.set()
