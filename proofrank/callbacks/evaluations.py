"""Where a policy of a training loop is evaluated: by a server, or in this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, Unpack

from proofrank.callbacks.metrics import metrics_by_name, metrics_of_intervals
from proofrank.core.errors import ProofrankError, did_you_mean, nearest_names
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy

if TYPE_CHECKING:
    from proofrank.core.embedding import ScoreSource
    from proofrank.in_process import EvaluationReport
    from proofrank.interval_evaluation import IntervalEvaluation
    from proofrank.service.client import Client, Job, JobResult


class RankingOptions(TypedDict, total=False):
    """How a split is ranked, with the meanings and defaults of ``proofrank.evaluate`` and ``client.evaluate``."""

    side: Literal["head", "tail", "both"]
    corruptions: int | Literal["all"]
    filtered: bool
    seed: int
    ties: Literal["optimistic", "realistic", "pessimistic", "random"]
    pruning: Literal["none", "exact", "ranks"]
    mrr_tolerance: float
    protocol: str
    candidates_from: Literal["domains", "entities", "relations"]
    beam: int
    beam_score: Literal["max", "logsumexp", "noisy-or"]
    scoring: Literal["proof", "embedding", "hybrid"]
    hybrid: Mapping[str, Any]


@dataclass(frozen=True)
class StepResult:
    """The evaluation of one step.

    Attributes:
        step: the step.
        metrics: name -> value over all rankings; an undefined metric is not among them. With ``mrr_tolerance``, ``mrr``
            is the middle of its interval, ``mrr_low`` and ``mrr_high`` are the ends, and of the others those are there
            that are known.
        report: what ``proofrank.evaluate`` or ``client.evaluate`` returns: rankings, finer metrics or intervals.
    """

    step: int
    metrics: Mapping[str, float]
    report: EvaluationReport | IntervalEvaluation | JobResult


class Evaluations(Protocol):
    """Evaluates policies, one after another."""

    def start(self, step: int, policy: Policy) -> Future[StepResult]:
        """Begins the evaluation of a policy, which must not change any more."""
        ...

    def keep(self, step: int, policy: Policy) -> Future[None] | None:
        """Begins to keep the policy of a step as the best one so far; None if it is not kept here."""
        ...

    def close(self) -> None:
        """Drops evaluations that have not begun, and does not wait for others."""
        ...


class OnServer:
    """Has a server evaluate, while training goes on.

    A thread of its own sends each policy as a step of a run, and submits a job that is pinned to this upload. A second
    thread waits for the jobs. The training loop waits for neither.
    """

    def __init__(
        self,
        client: Client,
        run: str,
        *,
        split: Literal["train", "valid", "test"] = "valid",
        limit: int | None = None,
        labels: Mapping[str, str] | None = None,
        best_name: str | None = None,
        **options: Unpack[RankingOptions],
    ) -> None:
        """Sends nothing yet.

        Args:
            client: of the server; it stays the caller's, who closes it after the validation.
            run: name of the run, under which the policies are stored; each replaces the one before.
            split: the triples to rank.
            limit: rank only so many of them, drawn with the seed.
            labels: what to keep beside each step.
            best_name: name under which the best policy is stored too; None for not.
            options: how to rank.

        Raises:
            ProofrankError: an option is wrong, or both names are one.
        """
        from proofrank.service.client.requests import make_request, weights_fields
        from proofrank.service.wire import JobRequest

        _check_names(options)
        if best_name == run:
            raise ProofrankError(f"best_name is {best_name!r}, the run's name, which each step replaces")
        fields = {**options, "hybrid": weights_fields(options.get("hybrid"))}
        make_request(JobRequest, None, split=split, limit=limit, policy=run, **fields)
        if best_name is not None:
            make_request(JobRequest, None, split=split, policy=best_name)
        self._client = client
        self._run = run
        self._split: Literal["train", "valid", "test"] = split
        self._limit = limit
        self._labels = labels
        self._best_name = best_name
        self._options = options
        self._is_closed = threading.Event()
        self._sender = ThreadPoolExecutor(1, "proofrank-send")
        self._waiter = ThreadPoolExecutor(1, "proofrank-wait")

    def start(self, step: int, policy: Policy) -> Future[StepResult]:
        """Begins to send a policy and to wait for its job."""
        submitted = self._sender.submit(self._submit, step, policy)
        return self._waiter.submit(self._result, step, submitted)

    def keep(self, step: int, policy: Policy) -> Future[None] | None:
        """Begins to store the policy under the name of the best one."""
        return None if self._best_name is None else self._sender.submit(self._store_best, step, policy)

    def close(self) -> None:
        """Ends the waiting; jobs that were submitted go on in the server."""
        self._is_closed.set()
        for threads in (self._sender, self._waiter):
            threads.shutdown(wait=False, cancel_futures=True)

    def _submit(self, step: int, policy: Policy) -> Job:
        uploaded = self._client.push(self._run, policy, step=step, labels=self._labels)
        return self._client.submit(self._split, policy=uploaded, limit=self._limit, **self._options)

    def _result(self, step: int, submitted: Future[Job]) -> StepResult:
        job = submitted.result()
        result = self._client.wait(job.id, progress=False, on_progress=self._check_open)
        intervals = result.job.intervals
        metrics = (
            metrics_by_name(result.metrics) if intervals is None else metrics_of_intervals(intervals.by_name)
        )
        return StepResult(step, metrics, result)

    def _store_best(self, step: int, policy: Policy) -> None:
        self._client.push(self._run, policy, step=step, name=self._best_name, labels=self._labels)

    def _check_open(self, job: Job) -> None:
        """Ends the thread that waits for a job, so that the program can end."""
        if self._is_closed.is_set():
            raise ProofrankError(f"no longer waiting for job {job.id}")


class InProcess:
    """Evaluates in this process, by ``proofrank.evaluate``: at once, or in a thread of its own."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        split: Literal["train", "valid", "test"] = "valid",
        background: bool = False,
        engine: str = "auto",
        device: str | None = None,
        prover: Mapping[str, int | bool] | None = None,
        processes: int = 1,
        embedding: str | Path | ScoreSource | None = None,
        **options: Unpack[RankingOptions],
    ) -> None:
        """Evaluates nothing yet.

        Args:
            dataset: the graph.
            split: the triples to rank.
            background: evaluate in a thread while training goes on, rather than at once. The two share the processor:
                ``docs/callbacks.md`` says what that costs.
            engine: as for ``proofrank.evaluate``, like the next three.
            device: where to compute.
            prover: prover settings that differ from the policy's.
            processes: how many processes may take part.
            embedding: what scores triples with ``scoring`` ``embedding`` or ``hybrid``: its path, which is read once,
                or what :func:`proofrank.load_embedding` gives.
            options: how to rank.

        Raises:
            ProofrankError: an option is unknown, or the scores lack an embedding.
            EmbeddingError: the embedding cannot be read.
        """
        _check_names(options)
        if (options.get("scoring", "proof") == "proof") != (embedding is None):
            raise ProofrankError(
                f"scoring is {options.get('scoring', 'proof')!r}, and an embedding is "
                f"{'missing' if embedding is None else 'given'}; expected one with 'embedding' and 'hybrid' alone"
            )
        if isinstance(embedding, (str, Path)):
            from proofrank.core.embedding import load_embedding

            embedding = load_embedding(embedding)
        self._dataset = dataset
        self._arguments: dict[str, Any] = {
            "split": split,
            "engine": engine,
            "device": device,
            "prover": prover,
            "processes": processes,
            "embedding": embedding,
            **options,
        }
        self._thread = ThreadPoolExecutor(1, "proofrank-evaluate") if background else None

    def start(self, step: int, policy: Policy) -> Future[StepResult]:
        """Evaluates a policy, or begins to."""
        if self._thread is not None:
            return self._thread.submit(self._evaluate, step, policy)
        future: Future[StepResult] = Future()
        try:
            future.set_result(self._evaluate(step, policy))
        except Exception as error:  # the caller decides, as for one of a thread
            future.set_exception(error)
        return future

    def keep(self, step: int, policy: Policy) -> Future[None] | None:
        """Keeps nothing: a folder is the place of the best policy."""
        return None

    def close(self) -> None:
        """Drops evaluations that have not begun; one that runs goes on to its end."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _evaluate(self, step: int, policy: Policy) -> StepResult:
        from proofrank.in_process import evaluate
        from proofrank.interval_evaluation import IntervalEvaluation

        report = evaluate(self._dataset, policy, **self._arguments)
        if isinstance(report, IntervalEvaluation):
            return StepResult(step, metrics_of_intervals(report.metrics.by_name), report)
        return StepResult(step, metrics_by_name(report.metrics), report)


def _check_names(options: Mapping[str, Any]) -> None:
    """Raises ProofrankError for an option that there is not."""
    known = RankingOptions.__annotations__
    for name in options:
        if name not in known:
            near = did_you_mean(nearest_names(name, known))
            raise ProofrankError(f"unknown option {name!r}; expected one of {', '.join(known)}{near}")
