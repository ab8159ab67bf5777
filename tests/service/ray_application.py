"""Runs the applications of ``deploy/serve-cpu.yaml`` by ``serve run``, in a Ray of their own, on a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.service.serving import REPOSITORY, clean_environment

CONFIG = REPOSITORY / "deploy" / "serve-cpu.yaml"
CALLBACK = "service.on_ray.proxy:middlewares"

_PATIENCE = 240.0
"""Seconds until something that does not happen counts as broken; never waited in full."""

_RANKER = "ray::ServeReplica:ranker"
_COORDINATOR = "ray::ServeReplica:coordinator"


def wait_until(is_so: Callable[[], Any], what: str, patience: float = _PATIENCE) -> None:
    """Returns once ``is_so`` gives something true."""
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.1)


class RayApplication:
    """The service on a local Ray; a context manager that ends both.

    Attributes:
        client: speaks to the service.
    """

    client: httpx.Client

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        ranker: dict[str, Any] | None = None,
        lease_seconds: float = 4.0,
        num_cpus: int = 2,
    ) -> None:
        """Args:
        settings: of the service, but for the data folder.
        ranker: options of the deployment of rankers, over those of the file.
        lease_seconds: short, for a test to wait for their end.
        num_cpus: that Ray is to think it has.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="proofrank-")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
        config["http_options"]["port"] = self.port
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
        self._log_path = Path(self._folder.name) / "log"
        # `serve run` takes as many CPUs as there are, unless Ray is told otherwise by whoever starts it.
        program = (
            "import sys, ray; from ray.serve.scripts import cli; "
            f"ray.init(num_cpus={num_cpus}, include_dashboard=False, object_store_memory=2**27, "
            f"_temp_dir={self._folder.name!r} + '/ray'); cli()"
        )
        environment = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": CALLBACK,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        }
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, "run", str(written)],
                cwd=REPOSITORY,
                env=clean_environment(environment),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """The end of what all processes have written."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")[-5000:]

    def wait_until_ready(self) -> RayApplication:
        """Returns once the coordinator is ready and one ranker answers."""
        self.client = httpx.Client(base_url=self.url, timeout=_PATIENCE, trust_env=False)
        deadline = time.monotonic() + _PATIENCE
        while True:
            assert self._process.poll() is None and time.monotonic() < deadline, self.log
            if self.is_ready() and self.ready_rankers():
                return self
            time.sleep(0.2)

    def is_ready(self) -> bool:
        """Whether the coordinator says so."""
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """The samples on the page of metrics, by name and labels."""
        samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(self.client.get("/metrics").text):
            for sample in family.samples:
                samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return samples

    def by_replica(self, name: str) -> dict[str, float]:
        """The samples of a metric that has no other label than ``replica``."""
        return {dict(labels)["replica"]: value for labels, value in self.metrics().get(name, {}).items()}

    def ready_rankers(self) -> list[str]:
        """Names of the replicas that rank, as the metrics have them."""
        ready = self.by_replica("proofrank_ready")
        return sorted(name for name, value in ready.items() if value == 1 and name.startswith("Ranker-"))

    def ranker_processes(self) -> list[psutil.Process]:
        """The processes of the replicas that rank."""
        return self._processes(_RANKER)

    def coordinator_processes(self) -> list[psutil.Process]:
        """The process of the coordinator; none while it is being replaced."""
        return self._processes(_COORDINATOR)

    def _processes(self, title: str) -> list[psutil.Process]:
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [child for child in children if title in " ".join(_command(child))]

    def __enter__(self) -> RayApplication:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self, "client"):
            self.client.close()
        processes = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # What a test has killed may keep Ray from ending the rest.
        for process in psutil.wait_procs(processes, timeout=10)[1]:
            process.kill()
        self._folder.cleanup()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
