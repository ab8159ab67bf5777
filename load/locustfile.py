"""Users of a proofrank server, for locust: people who ask single queries, a training job, a scraper.

locust -f load/locustfile.py --headless -H http://127.0.0.1:8000 -t 60s --rate 5 --most-p95-ms 500

Single queries arrive by a Poisson process whether or not earlier ones have been answered (an open loop), so that a slow
server is not spared by clients that wait for it. At the end comes a summary; the exit status is 1 where the objective
was missed. A key of the server's, if it wants one, is taken from ``PROOFRANK_API_KEY``.
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
"""Sources of arrivals, at least: a ramp has so many steps."""

_MOST_CONNECTIONS = 10_000
"""Of one source: an open loop does not wait for a free one."""

_SECONDS_TO_END = 2.0
"""For requests that are on their way when the run ends."""

_tally = Tally()


def _headers() -> dict[str, str]:
    key = os.environ.get("PROOFRANK_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


class SingleQueries(FastHttpUser):
    """One of the sources of single queries; the shape sets how many there are, and all have the same rate."""

    concurrency = _MOST_CONNECTIONS

    def on_start(self) -> None:
        """Reads what there is to ask."""
        options = self.environment.parsed_options
        assert options is not None
        self._triples = read_split(Path(options.dataset), "test")
        self._corruptions: int = options.corruptions
        self._random = random.Random()  # noqa: S311 - no secret
        self._seconds_between = sources(options.rate) / options.rate
        self._on_their_way = Group()

    def wait_time(self) -> float:
        """Until the next arrival."""
        return self._random.expovariate(1 / self._seconds_between)

    @task
    def arrive(self) -> None:
        """Asks, without waiting for the answer."""
        self._on_their_way.spawn(self._ask, self._random.choice(self._triples))

    def _ask(self, triple: Triple) -> None:
        body = rank_body([triple], side="tail", corruptions=self._corruptions)
        self.client.post("/rank", json=body, headers=_headers(), name=SINGLE_QUERY)

    def on_stop(self) -> None:
        """Waits a little for what is on its way."""
        self._on_their_way.join(_SECONDS_TO_END)
        _tally.num_given_up += len(self._on_their_way)
        self._on_their_way.kill()


class TrainingJob(FastHttpUser):
    """The loop of a training job: upload what an epoch made, make it live, rank a sample with it, read the MRR."""

    fixed_count = 1
    wait_time = constant(2)  # type: ignore[assignment]  # the epoch
    name = "load-training-job"

    def on_start(self) -> None:
        """Reads the checkpoint and the split, and remembers which policy was live."""
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
        """One epoch."""
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
        """Makes the policy live that was, and deletes its own."""
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
        """Asks for the metrics, and whether the server is ready."""
        self.client.get("/metrics", headers=_headers(), name="scraper: GET /metrics")
        self.client.get("/readyz", headers=_headers(), name="scraper: GET /readyz")


class Arrivals(LoadTestShape):
    """A constant rate of arrivals, or one that rises in equal steps; ``--run-time`` ends it."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """How many users there should be now; None at the end."""
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
    """How many sources share a rate of arrivals."""
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
        logger.warning("no training job: --policy does not say which checkpoint fits %s", options.dataset)
        environment.user_classes = [user for user in environment.user_classes if user is not TrainingJob]


@events.test_start.add_listener
def _begin(**_: Any) -> None:
    _tally.answers.clear()
    _tally.num_given_up = 0


@events.request.add_listener
def _count(name: str, response_time: float, response: FastResponse | None, **_: Any) -> None:
    """Takes one answer into the summary."""
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
