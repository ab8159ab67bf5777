"""The service on Ray Serve as a process: ``serve run deploy/serve-cpu.yaml`` with its own Ray; needs the extra
``ray``.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import urllib3
import yaml
from urllib3.exceptions import HTTPError

from load.processes import REPOSITORY, ProcessError, clean_environment
from load.tally import OK

CONFIG = REPOSITORY / "deploy" / "serve-cpu.yaml"

_SECONDS_TO_START = 300.0
_SECONDS_TO_ANSWER = 10.0
_SECONDS_TO_END = 30.0
_RANKER = "ray::ServeReplica:ranker"
_COORDINATOR = "ray::ServeReplica:coordinator"
_READY_RANKER = re.compile(r'^proofrank_ready\{replica="(Ranker-[^"]+)"\} 1\.0$', re.MULTILINE)


class RayServeProcess:
    """The service on a free port, with its own data folder; a context manager that ends it and its Ray.

    Attributes:
        url: URL of the proxy.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        lease_seconds: float,
        ranker: Mapping[str, Any] | None = None,
        num_cpus: int = 2,
    ) -> None:
        """Args:
        settings: settings of the service, without the data folder.
        lease_seconds: duration of a lease.
        ranker: options of the rankers' deployment, which override those of the file.
        num_cpus: number of CPUs that Ray is told to have.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="proofrank-")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
        config["http_options"]["port"] = port
        for application in config["applications"]:
            application["args"] = {
                "settings": {**settings, "data_folder": f"{self._folder.name}/data"},
                "lease_seconds": lease_seconds,
            }
        deployment = config["applications"][1]["deployments"][0]
        deployment.update(ranker or {})
        if "autoscaling_config" in deployment:
            del deployment["num_replicas"]
        written = Path(self._folder.name) / "serve.yaml"
        written.write_text(yaml.safe_dump(config), encoding="utf-8")
        # `serve run` uses all CPUs, unless its Ray was started with another number.
        program = (
            "import signal, sys, ray; from ray.serve.scripts import cli; "
            # In the background of a shell, Python would ignore the signal that ends it.
            "signal.signal(signal.SIGINT, signal.default_int_handler); "
            f"ray.init(num_cpus={num_cpus}, include_dashboard=False, object_store_memory=2**27, "
            f"_temp_dir={self._folder.name!r} + '/ray'); cli()"
        )
        environment = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "proofrank.service.on_ray.proxy:middlewares",
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        }
        self._log_path = Path(self._folder.name) / "log"
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, "run", str(written)],
                cwd=REPOSITORY,
                env=clean_environment(1, environment),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """Returns the end of the output of all processes."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")[-5000:]

    def wait_until_ready(self, num_rankers: int = 1) -> None:
        """Returns once the coordinator and ``num_rankers`` rankers are ready.

        Raises:
            ProcessError: it ended, or took too long.
        """
        ends = time.monotonic() + _SECONDS_TO_START
        while not (self.is_ready() and len(self.ready_rankers()) >= num_rankers):
            if self._process.poll() is not None or time.monotonic() > ends:
                raise ProcessError(f"the service on Ray Serve does not start:\n{self.log}")
            time.sleep(0.2)

    def is_ready(self) -> bool:
        """Returns whether the coordinator is ready."""
        return self._page("/readyz") is not None

    def ready_rankers(self) -> list[str]:
        """Returns the names of the rankers in the metrics; one that died stays there until its lease ends."""
        return sorted(_READY_RANKER.findall(self._page("/metrics") or ""))

    def ranker_processes(self) -> list[psutil.Process]:
        """Returns the processes of the rankers."""
        return self._processes(_RANKER)

    def coordinator_processes(self) -> list[psutil.Process]:
        """Returns the process of the coordinator; none while it is being replaced."""
        return self._processes(_COORDINATOR)

    def _page(self, path: str) -> str | None:
        """Returns the page at ``path``; None while it cannot be read."""
        try:
            answer = urllib3.request("GET", self.url + path, timeout=_SECONDS_TO_ANSWER, retries=False)
        except HTTPError:
            return None
        return answer.data.decode("utf-8") if answer.status == OK else None

    def _processes(self, title: str) -> list[psutil.Process]:
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [child for child in children if title in " ".join(_command(child))]

    def __enter__(self) -> RayServeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        processes = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # A killed process may keep Ray from ending the others.
        for process in psutil.wait_procs(processes, timeout=10)[1]:
            process.kill()
        self._folder.cleanup()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
