"""What a callback costs a training loop: its step rate without one, with a server elsewhere, and on the same core.

    python -m benchmarks.callback_cost
    sudo python -m benchmarks.callback_cost --real-time --json FILE

The training loop and its threads stay on one core, and the server on another, as if on another machine. On the core of
the loop, it would take its computing time from the training; the table adds that. After each epoch the valid triples of
the package's countries are evaluated. The ways take turns. A turn is some epochs that are evaluated and one that is
not, in which the last result arrives, so that all of the cost falls into the turn.

A cost is measured twice: as the difference of the turn's time to that of the plain loop in the same round, which the
speed of a shared machine blurs; and as the time of the call and the computing time of the threads beside the training.

``--real-time`` puts all of them before the other programs of the machine, so that these change nothing. The threads
beside the training loop come before it: a scheduler gives its turn at once to a thread that mostly sleeps.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import proofrank
from benchmarks.common import arguments_of, machine, print_table, write_output
from load.processes import ServerProcess
from proofrank.callbacks import Evaluations, InProcess, OnServer, Validation
from proofrank.client import Client
from proofrank.core.default import DATASET, POLICY
from proofrank.core.policy import PolicyNetwork
from proofrank.training.batches import Batch, ExampleSet, batch_logits, imitation_loss
from proofrank.training.examples import ExampleCollector
from proofrank.training.imitation import untrained_network
from proofrank.training.options import TrainingOptions
from proofrank.training.rollout import logits_of_network

WITHOUT = "without evaluations"
ON_SERVER = "server elsewhere"

_PRIORITY = 10
"""Real-time priority of the training loop and of the server."""


class Loop:
    """Trains a network on choices of a search, the same number of steps in each epoch."""

    def __init__(self, dataset: proofrank.Dataset, like: proofrank.Policy, steps: int) -> None:
        assert like.settings is not None
        options = TrainingOptions(seed=0)
        self.network: PolicyNetwork = untrained_network(
            like.network.config, dataset.vocabulary, options.seed, options.embedding_scale
        )
        choices = ExampleCollector(dataset, like.settings, options).collect(
            logits_of_network(self.network), 0
        )
        self.network.train().requires_grad_(True)
        self._examples = ExampleSet(choices)
        self._options = options
        self._steps = steps
        self._generator = np.random.default_rng(0)
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-5)
        self._batches = self._endless()

    def run_epoch(self) -> None:
        """Takes the steps of an epoch."""
        for _ in range(self._steps):
            batch = next(self._batches)
            self._optimizer.zero_grad()
            loss = imitation_loss(batch_logits(self.network, batch), batch, self._options.evenness)
            loss.backward()
            self._optimizer.step()
        with torch.no_grad():
            self.network.embedding.predicates[0] = 0
            self.network.embedding.arguments[0] = 0

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self._examples.shuffled(self._generator, self._options.batch_rows)


@dataclass
class Way:
    """A way to train.

    Attributes:
        validation: what is called after an epoch; None for none.
        turns: seconds of each turn.
        calls: seconds of each call.
        beside: computing seconds of the threads beside the training loop in each turn.
        results: number of results that have arrived within the turns.
    """

    validation: Validation | None
    turns: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    results: int = 0
    next_step: int = 0

    def run(self, loop: Loop, epochs: int) -> None:
        """Trains for some epochs that are evaluated, and one that is not."""
        began, began_beside = time.perf_counter(), time.process_time() - time.thread_time()
        for _ in range(epochs):
            loop.run_epoch()
            if self.validation is not None:
                called = time.perf_counter()
                self.results += len(self.validation(self.next_step, loop.network))
                self.calls.append(time.perf_counter() - called)
                self.next_step += 1
        loop.run_epoch()
        if self.validation is not None:
            self.results += len(self.validation.collect())
        self.turns.append(time.perf_counter() - began)
        self.beside.append(time.process_time() - time.thread_time() - began_beside)
        if self.validation is not None:
            self.validation.collect(wait=True)

    def forget(self) -> None:
        """Begins to measure anew."""
        self.turns, self.calls, self.beside, self.results = [], [], [], 0


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], metavar="N", help="of loop and server")
    parser.add_argument("--steps", type=int, default=600, help="steps of an epoch (default: 600)")
    parser.add_argument("--epochs", type=int, default=3, help="evaluated epochs of a turn (default: 3)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way (default: 5)")
    parser.add_argument("--side", default="tail", choices=["head", "tail", "both"])
    parser.add_argument("--real-time", action="store_true", help="before other programs; needs root")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures to FILE")
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    dataset = proofrank.load_dataset(DATASET)
    like = proofrank.load_policy(POLICY, dataset)
    own, other = parsed.cores
    with ExitStack() as until_done:
        run_on(other, parsed.real_time)
        server = until_done.enter_context(ServerProcess(DATASET, POLICY, 1))
        run_on(own, parsed.real_time)

        server.wait_until_ready()
        client = until_done.enter_context(Client(server.url))
        ranked: Any = {"side": parsed.side, "corruptions": "all"}
        evaluations: dict[str, Evaluations] = {
            ON_SERVER: OnServer(client, "run", **ranked),
            "in process, in a thread": InProcess(dataset, background=True, **ranked),
            "in process, at once": InProcess(dataset, **ranked),
        }
        ways = {WITHOUT: Way(None)}
        for name, one in evaluations.items():
            ways[name] = Way(until_done.enter_context(Validation(one, like=like, strict=True)))
        loop = Loop(dataset, like, parsed.steps)
        for way in ways.values():
            way.run(loop, 1)  # also makes their threads
            way.forget()
        if parsed.real_time:
            put_threads_before_training()
        served: list[float] = []
        for _ in range(parsed.repeats):
            for name, way in ways.items():
                before = server.cpu_seconds
                way.run(loop, parsed.epochs)
                if name == ON_SERVER:
                    served.append(server.cpu_seconds - before)
    for name, way in ways.items():
        if way.results != len(way.calls):
            raise SystemExit(f"{name}: {way.results} of {len(way.calls)} results came within the turns")
    print(machine())
    print_table(rows_of(ways, parsed.steps, parsed.epochs, served))
    write_output(
        parsed.json,
        {
            "arguments": arguments_of(parsed),
            "server": served,
            "ways": {
                name: {"turns": way.turns, "calls": way.calls, "beside": way.beside}
                for name, way in ways.items()
            },
        },
    )
    return 0


def rows_of(ways: dict[str, Way], steps: int, epochs: int, served: list[float]) -> list[dict[str, Any]]:
    """The rows of the table, of means over all turns.

    Args:
        ways: what was measured.
        steps: number of steps of an epoch.
        epochs: number of evaluated epochs of a turn, which has one more.
        served: computing seconds of the server in each of its turns.
    """
    plain = ways[WITHOUT].turns
    epoch = statistics.mean(plain) / (epochs + 1)
    rows = []
    for name, way in ways.items():
        differences = [turn - other for turn, other in zip(way.turns, plain, strict=True)]
        error = statistics.stdev(differences) / len(differences) ** 0.5 / epochs
        call = statistics.mean(way.calls) if way.calls else 0.0
        beside = max(0.0, statistics.mean(way.beside)) / epochs  # two clocks, read one after another
        rows.append(
            {
                "evaluations": name,
                "slower, per evaluation (ms)": f"{1000 * statistics.mean(differences) / epochs:.0f} ± "
                f"{1000 * error:.0f}",
                "call (ms)": f"{1000 * call:.1f}",
                "threads beside (ms)": f"{1000 * beside:.1f}",
                "both": call + beside,
            }
        )
    on_server = next(row for row in rows if row["evaluations"] == ON_SERVER)
    rows.append(
        {
            **dict.fromkeys(on_server, ""),
            "evaluations": "server on the same core (computed)",
            "both": on_server["both"] + statistics.mean(served) / epochs,
        }
    )
    for row in rows:
        both = row.pop("both")
        row["both (ms)"] = f"{1000 * both:.1f}"
        row[f"step rate lost at epochs of {epoch:.2f} s (%)"] = f"{100 * both / (epoch + both):.2f}"
        row["steps a second"] = f"{steps / (epoch + both):.0f}"
    return rows


def run_on(core: int, is_real_time: bool) -> None:
    """Keeps this thread, and the threads and processes that it starts, on a core."""
    os.sched_setaffinity(0, {core})
    if is_real_time:
        # Turns among equals, because a first-in-first-out thread that never sleeps would leave none to others.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))


def put_threads_before_training() -> None:
    """Lets the threads of this process run as soon as they have something to do, before the training loop."""
    for thread in Path("/proc/self/task").iterdir():
        if int(thread.name) != threading.main_thread().native_id:
            os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(_PRIORITY + 1))


if __name__ == "__main__":
    sys.exit(main())
