"""The pictures of the page in the documents: a server, a run of several steps, and Debian's Chromium without a network.

python -m benchmarks.screenshots

The run goes from random weights to those of the policy in the package, a part of the way at each step; it stands for a
training, which would take longer. Needs ``proofrank[integrations]``, chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import torch

from proofrank.client import Client
from proofrank.core.default import DATASET, POLICY
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.service.client import Job

_FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
_MOST_BYTES = 150_000
_WIDTH, _HEIGHT = 1100, 760
_PATIENCE = 60.0
_LISTENING = re.compile(r"Uvicorn running on (http://\S+)")
_PARTS = (0.0, 0.45, 0.75, 0.7, 0.9, 1.0)
"""Share of the way to the policy of the package at each step; one goes back, so that something gets worse."""


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Yields the address of a server of the graph in the package."""
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "proofrank",
                "serve",
                "--port",
                "0",
                "--data-folder",
                str(folder / "data"),
            ],
            stderr=errors,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        while (found := _LISTENING.search(log.read_text(encoding="utf-8"))) is None:
            if process.poll() is not None:
                raise RuntimeError(f"the server has ended: {log.read_text(encoding='utf-8')}")
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def train(client: Client, seed: int) -> list[Job]:
    """Pushes the steps of a run and has each ranked; returns the jobs."""
    dataset = load_dataset(DATASET)
    generator = torch.Generator().manual_seed(seed)
    goal = {name: value.clone() for name, value in load_policy(POLICY, dataset).network.state_dict().items()}
    start = {
        name: 0.3 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in goal.items()
    }
    jobs = []
    for step, part in enumerate(_PARTS):
        policy = load_policy(POLICY, dataset)
        weights = {
            name: torch.lerp(start[name], value, part) if value.is_floating_point() else value
            for name, value in goal.items()
        }
        for name in ("embedding.predicates", "embedding.arguments"):
            weights[name][0] = 0
        policy.network.load_state_dict(weights)
        run = f"run-{seed}"
        pushed = client.push(run, policy, step=step, name=f"{run}-{step}", labels={"seed": str(seed)})
        jobs.append(client.evaluate("test", policy=pushed, corruptions=30, progress=False).job)
    return jobs


class Camera:
    """A browser that writes pictures."""

    def __init__(self, folder: Path) -> None:
        from selenium import webdriver  # pyright: ignore[reportMissingImports]

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or "chromium"
        for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--lang=en"):
            options.add_argument(argument)
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self._driver = webdriver.Chrome(options=options, service=service)
        size = {"width": _WIDTH, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self._folder = folder

    def take(self, name: str, address: str, selector: str, theme: str = "light") -> None:
        """Writes a picture of a view, once an element is there."""
        from selenium.webdriver.support.ui import WebDriverWait  # pyright: ignore[reportMissingImports]

        feature = {"name": "prefers-color-scheme", "value": theme}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self._driver.get("about:blank")
        self._driver.get(address)
        wait = WebDriverWait(self._driver, _PATIENCE)
        wait.until(lambda driver: driver.find_elements("css selector", selector))
        wait.until(
            lambda driver: "…" not in driver.find_element("css selector", "main").text.replace("…\n", "")
        )
        path = self._folder / f"{name}.png"
        self._driver.save_screenshot(str(path))
        size = path.stat().st_size
        print(f"{path.name}: {size} bytes")
        assert size < _MOST_BYTES, f"{path} has {size} bytes; expected less than {_MOST_BYTES}"

    def close(self) -> None:
        """Ends the browser."""
        self._driver.quit()


def query_of(client: Client, a: Job, b: Job) -> dict[str, Any]:
    """The ranking that lost most from one job to the other."""
    worst = client.compare(a, b).changed[0]
    return {name: getattr(worst, name) for name in ("head", "relation", "tail", "side")}


def main() -> int:
    """Takes all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=_FOLDER, metavar="FOLDER", help="where to write them")
    parsed = parser.parse_args()
    parsed.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as url, Client(url) as client:
        client.wait_until_ready()
        jobs, _ = (train(client, seed) for seed in (7, 8))
        a, b = jobs[2], jobs[3]
        camera = Camera(parsed.out)
        try:
            camera.take("page-runs", f"{url}/#/runs", ".plot canvas")
            camera.take("page-compare", f"{url}/#/compare/{a.id}/{b.id}", ".plot canvas")
            query = urlencode(query_of(client, a, b))
            proof = "section + section .candidate[data-standing=positive]"
            camera.take("page-query", f"{url}/#/query/{a.id}/{b.id}?{query}", proof, theme="dark")
        finally:
            camera.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
