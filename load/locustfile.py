"""Users of a proofrank server, for locust: people who ask single queries, a training job, a scraper.

locust -f load/locustfile.py --headless -H http://127.0.0.1:8000 -t 60s --rate 5 --most-p95-ms 500

Single queries arrive by a Poisson process even if earlier ones are unanswered (an open loop), so a slow server gets no
relief from clients that wait. A summary is printed at the end; the exit status is 1 if the objective is missed.
``PROOFRANK_API_KEY`` holds the key for a server with keys.
"""

from __future__ import annotations

import logging
import math
import os
import random
import time
from pathlib import Path
from typing import Any

from gevent.pool import Group
from locust import FastHttpUser, LoadTestShape, constant, events, task
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment

from load.checkpoint import Checkpoint
from load.options import add_options, objective_of, policy_folder
from load.summary import summary_lines
from load.tally import NO_ANSWER, OK, Answer, Tally
from load.triples import Triple, rank_body, read_split

logger = logging.getLogger("load")

SINGLE_QUERY = "single query: POST /rank"
RANK_SAMPLE = "training job: POST /rank"

_LEAST_SOURCES = 10
"""Minimum number of sources of arrivals, and so of steps of a ramp."""

_MOST_CONNECTIONS = 10_000
"""Maximum number of connections of a source; an open loop does not wait for a free one."""

_SECONDS_TO_END = 2.0
"""Time for requests in progress when the run ends, in seconds."""

_tally = Tally()


def _headers() -> dict[str, str]:
    key = os.environ.get("PROOFRANK_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


class SingleQueries(FastHttpUser):
    """One source of single queries; the shape sets the number of sources, and all have the same rate."""

    concurrency = _MOST_CONNECTIONS

    def on_start(self) -> None:
        """Reads the triples to ask for."""
        options = self.environment.parsed_options
        assert options is not None
        self._triples = read_split(Path(options.dataset), "test")
        self._corruptions: int = options.corruptions
        self._random = random.Random()  # noqa: S311 - no secret
        self._seconds_between = sources(options.rate) / options.rate
        self._on_their_way = Group()

    def wait_time(self) -> float:
        """Returns the time until the next arrival."""
        return self._random.expovariate(1 / self._seconds_between)

    @task
    def arrive(self) -> None:
        """Asks without waiting for the answer."""
        self._on_their_way.spawn(self._ask, self._random.choice(self._triples))

    def _ask(self, triple: Triple) -> None:
        body = rank_body([triple], side="tail", corruptions=self._corruptions)
        self.client.post("/rank", json=body, headers=_headers(), name=SINGLE_QUERY)

    def on_stop(self) -> None:
        """Waits a short time for requests in progress."""
        self._on_their_way.join(_SECONDS_TO_END)
        _tally.num_given_up += len(self._on_their_way)
        self._on_their_way.kill()


class TrainingJob(FastHttpUser):
    """The loop of a training job: upload a checkpoint, make it live, rank a sample by it, read the MRR."""

    fixed_count = 1
    wait_time = constant(2)  # type: ignore[assignment]  # the epoch
    name = "load-training-job"

    def on_start(self) -> None:
        """Reads the checkpoint and the split, and notes the live policy."""
        options = self.environment.parsed_options
        assert options is not None
        folder = policy_folder(options)
        assert folder is not None
        self._checkpoint = Checkpoint.read(folder)
        self._triples = read_split(Path(options.dataset), "valid")
        self._sample = min(options.sample, len(self._triples))
        self._corruptions: int = options.corruptions
        self._epoch = 0
        answer = self.client.get("/policies", headers=_headers(), name="training job: GET /policies")
        self._live_before = answer.json()["active"] if answer.status_code == OK else None

    @task
    def epoch(self) -> None:
        """Runs one epoch."""
        self._epoch += 1
        form = self._checkpoint.of_epoch(self._epoch).form()
        answer = self.client.put(
            f"/policies/{self.name}?activate=true",
            data=form.body,  # type: ignore[arg-type]
            headers={"Content-Type": form.content_type, **_headers()},
            name="training job: PUT /policies/{name}",
        )
        if answer.status_code // 100 != OK // 100:
            return
        triples = random.Random(self._epoch).sample(self._triples, self._sample)  # noqa: S311 - no secret
        body = rank_body(triples, side="both", corruptions=self._corruptions)
        answer = self.client.post("/rank", json=body, headers=_headers(), name=RANK_SAMPLE)
        if answer.status_code == OK:
            logger.info("epoch %d: MRR %.4f", self._epoch, answer.json()["metrics"]["mrr"])

    def on_stop(self) -> None:
        """Restores the former live policy, and deletes its own."""
        if self._live_before in (None, self.name):
            return
        self.client.post(
            f"/policies/{self._live_before}/activate",
            headers=_headers(),
            name="training job: POST /policies/{name}/activate",
        )
        self.client.delete(
            f"/policies/{self.name}", headers=_headers(), name="training job: DELETE /policies/{name}"
        )


class Scraper(FastHttpUser):
    """Prometheus and a load balancer."""

    fixed_count = 1
    wait_time = constant(1)  # type: ignore[assignment]

    @task
    def scrape(self) -> None:
        """Reads the metrics and the readiness."""
        self.client.get("/metrics", headers=_headers(), name="scraper: GET /metrics")
        self.client.get("/readyz", headers=_headers(), name="scraper: GET /readyz")


class Arrivals(LoadTestShape):
    """A constant rate of arrivals, or one that rises in equal steps, until ``--run-time`` ends it."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Returns the number of users for now; None at the end."""
        assert self.runner is not None
        environment = self.runner.environment
        options = environment.parsed_options
        assert options is not None
        if options.run_time and self.get_run_time() >= options.run_time:
            return None
        number = sources(options.rate)
        if options.shape == "ramp":
            number = math.ceil(number * max(1.0, self.get_run_time()) / options.run_time)
        others = sum(user.fixed_count for user in environment.user_classes)
        return number + others, number + others


def sources(rate: float) -> int:
    """Returns the number of sources that share a rate of arrivals."""
    return max(_LEAST_SOURCES, math.ceil(rate))


@events.init_command_line_parser.add_listener
def _add_options(parser: Any, **_: Any) -> None:
    add_options(parser)


@events.init.add_listener
def _prepare(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None
    if options.rate <= 0:
        raise SystemExit(f"--rate is {options.rate:g}; expected more than 0")
    if options.shape == "ramp" and not options.run_time:
        raise SystemExit("--shape ramp needs --run-time, the time in which the rate rises")
    if policy_folder(options) is None:
        logger.warning("no training job: no checkpoint is known to fit %s; set --policy", options.dataset)
        environment.user_classes = [user for user in environment.user_classes if user is not TrainingJob]


@events.test_start.add_listener
def _begin(**_: Any) -> None:
    _tally.answers.clear()
    _tally.num_given_up = 0


@events.request.add_listener
def _count(name: str, response_time: float, response: FastResponse | None, **_: Any) -> None:
    """Adds one answer to the summary."""
    status = response.status_code if response is not None else NO_ANSWER
    metrics = {}
    if status == OK and name in (SINGLE_QUERY, RANK_SAMPLE):
        assert response is not None
        metrics = response.json()["metrics"]
    _tally.add(
        Answer(
            name,
            status,
            response_time / 1000,
            time.perf_counter(),
            candidates=metrics.get("candidates", 0),
            queries=metrics.get("rankings", 0),
        )
    )


@events.quitting.add_listener
def _end(environment: Environment, **_: Any) -> None:
    """Prints the summary and sets the exit status."""
    options = environment.parsed_options
    assert options is not None
    print("\n".join(("", *summary_lines(_tally))))
    missed = objective_of(options).misses(_tally.of(SINGLE_QUERY), _tally)
    for miss in missed:
        print(f"objective missed: {miss}")
    environment.process_exit_code = 1 if missed else 0
