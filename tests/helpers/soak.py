"""A server under mixed load for some minutes: ``python -m tests.helpers.soak --minutes 15``.

Small and large requests, refused ones, clients that disconnect, policies uploaded, made live and deleted, and jobs are
repeated at the same time. Memory and open files are noted after a fifth of the time and at the end. The exit status is
1 if they have grown by more than allowed, or if an answer was wrong.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from proofrank.service.policies.policy_files import PARTS
from tests.helpers.family import write_family, write_untrained_policy
from tests.helpers.serving import RunningServer

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
SMALL: dict[str, Any] = {"queries": [QUERY]}
LARGE: dict[str, Any] = {"queries": [QUERY] * 500, "corruptions": "all", "return_candidates": True}
WRONG: tuple[dict[str, Any], ...] = (
    {"queries": []},
    {"queries": [{**QUERY, "head": "nobody"}]},
    {"queries": [QUERY], "seed": -1},
)
NUM_POLICIES = 4
MOST_FILES_MORE = 10


class Use(NamedTuple):
    """The resources that a process holds."""

    resident_bytes: int
    files: int


class Soak:
    """A server and its clients.

    Attributes:
        outcomes: number of answers of each kind.
        wrong: descriptions of wrong answers.
    """

    def __init__(self, server: RunningServer, policies: list[Path]) -> None:
        self._server = server
        self._policies = policies
        self._is_over = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self, seconds: float) -> tuple[Use, Use]:
        """Runs all clients for ``seconds``; returns the resources after a fifth of that, and at the end, at rest."""
        parts = (self._ask, self._ask, self._ask, self._err, self._vanish, self._swap, self._submit_jobs)
        threads = [
            threading.Thread(target=self._repeat, args=(part, seed)) for seed, part in enumerate(parts)
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 5)
        before = self._use()
        time.sleep(seconds * 4 / 5)
        self._is_over.set()
        for thread in threads:
            thread.join()
        time.sleep(5)
        return before, self._use()

    def _use(self) -> Use:
        status = Path(f"/proc/{self._server.process_id}/status").read_text(encoding="ascii")
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        return Use(resident * 1024, sum(1 for _ in Path(f"/proc/{self._server.process_id}/fd").iterdir()))

    def _repeat(self, part: Callable[[httpx.Client, random.Random], None], seed: int) -> None:
        chance = random.Random(seed)
        with httpx.Client(base_url=self._server.url, timeout=120, trust_env=False) as client:
            while not self._is_over.is_set():
                try:
                    part(client, chance)
                except httpx.HTTPError as error:
                    self.wrong.append(f"{part.__name__}: {type(error).__name__}: {error}")
                    time.sleep(1)

    def _expect(self, answer: httpx.Response, *statuses: int) -> None:
        self.outcomes[
            f"{answer.request.method} {answer.request.url.path.split('/')[1]} {answer.status_code}"
        ] += 1
        if answer.status_code not in statuses:
            self.wrong.append(
                f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:200]}"
            )

    def _ask(self, client: httpx.Client, chance: random.Random) -> None:
        self._expect(client.post("/rank", json=LARGE if chance.random() < 0.1 else SMALL), 200)

    def _err(self, client: httpx.Client, chance: random.Random) -> None:
        self._expect(client.post("/rank", json=chance.choice(WRONG)), 422)
        self._expect(client.get("/metrics"), 200)
        time.sleep(0.05)

    def _vanish(self, client: httpx.Client, chance: random.Random) -> None:
        url = httpx.URL(self._server.url)
        request = client.build_request("POST", "/rank", json=LARGE)
        head = "POST /rank HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: "
        whole = f"{head}{len(request.content)}\r\n\r\n".encode() + request.content
        with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
            connection.sendall(whole[: chance.randrange(1, 2 * len(whole))])
            time.sleep(chance.random() / 5)
        self.outcomes["vanished"] += 1

    def _swap(self, client: httpx.Client, chance: random.Random) -> None:
        number = chance.randrange(len(self._policies))
        folder, name = self._policies[number], f"epoch{chance.randrange(2 * NUM_POLICIES)}"
        files = {part.field: (folder / part.file).read_bytes() for part in PARTS}
        self._expect(client.put(f"/policies/{name}?activate=true", files=files), 200, 201)
        self._expect(client.delete(f"/policies/epoch{chance.randrange(2 * NUM_POLICIES)}"), 204, 404, 409)
        time.sleep(0.1)

    def _submit_jobs(self, client: httpx.Client, chance: random.Random) -> None:
        answer = client.post("/jobs", json={**SMALL, "corruptions": "all", "seed": chance.randrange(100)})
        self._expect(answer, 202)
        if answer.status_code == 202:
            if chance.random() < 0.5:
                time.sleep(0.5)
            self._expect(client.delete(answer.headers["location"]), 204)
        time.sleep(0.1)


def main() -> int:
    """Runs the soak; returns 1 if the server has grown or an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15, help="duration (default: 15)")
    parser.add_argument(
        "--most-mib", type=float, default=64, help="maximum growth of memory, MiB (default: 64)"
    )
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="proofrank-soak-") as root:
        dataset = write_family(Path(root) / "family")
        policies = [
            write_untrained_policy(Path(root) / f"policy{seed}", dataset, seed)
            for seed in range(NUM_POLICIES)
        ]
        arguments = ("--dataset", str(dataset), "--policy", str(policies[0]), "--threads", "1")
        with RunningServer(*arguments) as server:
            soak = Soak(server.wait_until_ready(), policies)
            before, after = soak.run(parsed.minutes * 60)
            is_alive = server.client.post("/rank", json=SMALL).status_code == 200
    growth = (after.resident_bytes - before.resident_bytes) / 2**20
    print(", ".join(f"{kind}: {number}" for kind, number in sorted(soak.outcomes.items())))
    print(f"memory: {before.resident_bytes / 2**20:.0f} -> {after.resident_bytes / 2**20:.0f} MiB")
    print(f"open files: {before.files} -> {after.files}")
    for wrong in soak.wrong[:10]:
        print(f"wrong: {wrong}")
    has_grown = growth > parsed.most_mib or after.files > before.files + MOST_FILES_MORE
    return 1 if has_grown or soak.wrong or not is_alive else 0


if __name__ == "__main__":
    sys.exit(main())
