"""Asks a server to rank, from threads: from a number of clients at once, or at the times of a Poisson process."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Sequence

import urllib3
from urllib3.exceptions import HTTPError

from load.tally import NO_ANSWER, OK, Answer, Tally
from load.triples import Triple, rank_body

_SECONDS_TO_ANSWER = 900.0


class Asker:
    """Open connections to one server; may be used from any thread."""

    def __init__(self, url: str, *, corruptions: int = 50, side: str = "tail") -> None:
        self._pool = urllib3.connection_from_url(url, maxsize=256, timeout=_SECONDS_TO_ANSWER, retries=False)
        self._corruptions = corruptions
        self._side = side

    def ask(self, triples: Sequence[Triple], *, due: float | None = None, endpoint: str = "") -> Answer:
        """Asks for the ranks of ``triples`` in one request.

        Args:
            triples: triples to rank.
            due: start of its time by ``time.perf_counter()``; now by default.
            endpoint: name under which it is counted.
        """
        body = json.dumps(rank_body(triples, side=self._side, corruptions=self._corruptions))
        due = time.perf_counter() if due is None else due
        try:
            answer = self._pool.request(
                "POST", "/rank", body=body, headers={"Content-Type": "application/json"}
            )
        except HTTPError:
            now = time.perf_counter()
            return Answer(endpoint, NO_ANSWER, now - due, now)
        now = time.perf_counter()
        if answer.status != OK:
            return Answer(endpoint, answer.status, now - due, now)
        metrics = answer.json()["metrics"]
        return Answer(
            endpoint,
            OK,
            now - due,
            now,
            candidates=metrics["candidates"],
            queries=metrics["rankings"],
            mrr=metrics["mrr"],
        )

    def closed_loop(self, triples: Sequence[Triple], num_clients: int) -> Tally:
        """Asks for each of ``triples`` once; each of ``num_clients`` waits for its answer before it asks again."""
        tally = Tally()
        waiting = iter(list(triples))
        lock = threading.Lock()

        def client() -> None:
            while True:
                with lock:
                    triple = next(waiting, None)
                if triple is None:
                    return
                tally.add(self.ask([triple]))

        threads = [threading.Thread(target=client) for _ in range(num_clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return tally

    def open_loop(self, triples: Sequence[Triple], rate: float, seconds: float, seed: int = 0) -> Tally:
        """Asks for ``triples`` in turn at a rate, even if earlier ones are unanswered; waits for all answers."""
        tally = Tally()
        threads: list[threading.Thread] = []
        generator = random.Random(seed)  # noqa: S311 - no secret
        began = time.perf_counter()
        due = began
        for triple in itertools.cycle(triples):
            due += generator.expovariate(rate)
            if due > began + seconds:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            threads.append(threading.Thread(target=self._ask_into, args=(tally, triple, due)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        return tally

    def _ask_into(self, tally: Tally, triple: Triple, due: float) -> None:
        tally.add(self.ask([triple], due=due))
