"""The callback of a plain training loop: evaluates a policy after a step, logs, stops early, keeps the best one."""

from __future__ import annotations

import logging
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from proofrank.callbacks.evaluations import Evaluations, StepResult
from proofrank.callbacks.loggers import Logger
from proofrank.callbacks.metrics import Improvement
from proofrank.core.errors import PolicyError, ProofrankError, RankingError
from proofrank.core.policy import Policy, PolicyNetwork, files_of, policy_of, unwrapped
from proofrank.core.policy.exported import ExportedNetwork
from proofrank.core.policy.files import replace_folder
from proofrank.core.prover import ProverSettings

_LOG = logging.getLogger("proofrank.callbacks")


class _Pending(NamedTuple):
    """An evaluation that was begun."""

    step: int
    policy: Policy
    result: Future[StepResult]


class Validation:
    """Is called with a step and the network after each epoch; a context manager that waits for the results at its end.

    The weights are copied in the call, so training may go on at once. Results are taken in at the next call or by
    :meth:`collect`, in the order of the steps; only ``collect(wait=True)`` and :meth:`finish` wait for them. An
    evaluation that fails is a warning of the log ``proofrank.callbacks`` and is counted; training goes on.

    Attributes:
        results: the results so far, in the order of the steps.
        best: the result with the best metric so far, the first of equal ones; None if there is none.
        failures: number of evaluations, logs and stored policies that failed, and of steps that were left out.
    """

    def __init__(
        self,
        evaluations: Evaluations,
        *,
        like: Policy | None = None,
        export: Callable[[Any, Path], Policy] | None = None,
        loggers: Sequence[Logger] = (),
        metric: str = "mrr",
        patience: int | None = None,
        min_delta: float = 0.0,
        best_folder: Path | str | None = None,
        max_pending: int = 8,
        strict: bool = False,
    ) -> None:
        """Evaluates nothing yet.

        Args:
            evaluations: where to evaluate: ``OnServer`` or ``InProcess``.
            like: policy whose vocabulary and prover settings the network has; not needed if whole policies are given.
            export: for a network of one's own: is called with the module and an empty folder, and returns the policy
                that it writes there, as ``lambda module, folder: proofrank.export_policy(module, dataset, folder)``
                does. The training waits for it; tracing takes seconds. Notes on the training are not kept.
            loggers: are given the metrics of each result.
            metric: the metric that decides which policy is the best and when to stop.
            patience: number of results in a row without an improvement after which ``should_stop`` is true; None for
                never.
            min_delta: difference that an improvement must exceed, for ``patience``.
            best_folder: folder that holds the best policy so far, as ``proofrank.load_policy`` reads it.
            max_pending: number of unfinished evaluations, each with its copy of the weights, at which a step is left
                out.
            strict: whether a failure is raised, where it is taken in.

        Raises:
            ProofrankError: ``metric``, ``patience``, ``min_delta`` or ``max_pending`` is wrong, or both ``like`` and
                ``export`` are given.
        """
        if like is not None and export is not None:
            raise ProofrankError(
                "like is for the built-in network, export for one's own; expected one of them"
            )
        if type(max_pending) is not int or max_pending < 1:
            raise ProofrankError(f"max_pending is {max_pending!r}; expected a whole number, 1 or more")
        self.results: list[StepResult] = []
        self.best: StepResult | None = None
        self.failures = 0
        self._evaluations = evaluations
        self._like = like
        self._export = export
        self._has_begun = False
        self._loggers = tuple(loggers)
        self._metric = metric
        self._improvement = Improvement(metric, patience, min_delta)
        self._best_folder = None if best_folder is None else Path(best_folder)
        self._max_pending = max_pending
        self._is_strict = strict
        self._pending: deque[_Pending] = deque()
        self._kept: deque[tuple[int, Future[None]]] = deque()
        self._last_step: int | None = None
        self._is_closed = False

    @property
    def should_stop(self) -> bool:
        """Whether ``patience`` results in a row were no improvement; once true, it stays so."""
        return self._improvement.is_exhausted

    @property
    def num_pending(self) -> int:
        """Number of evaluations whose results were not taken in yet."""
        return len(self._pending)

    def __call__(self, step: int, module: Any) -> tuple[StepResult, ...]:
        """Begins the evaluation of the weights as they are now, and takes in the results that have arrived.

        Args:
            step: number of the step, 0 or more, and larger than the one before.
            module: a ``PolicyNetwork``, perhaps wrapped by ``torch.compile`` or ``DistributedDataParallel``; or a
                ``Policy`` with any network; or, with ``export``, a network of one's own.

        Returns:
            The results that were taken in, in the order of their steps; often those of earlier steps.

        Raises:
            ProofrankError: the step is not larger, ``module`` is no policy, or the validation was closed.
            PolicyError: the first module cannot be exported, or is no network of the size and dtype that ``like`` asks
                for, or has a weight that is not finite; a later one that cannot be evaluated is a failure.
            RankingError: an option of the ranking is wrong.
            Exception: what failed, if strict.
        """
        if self._is_closed:
            raise ProofrankError("the validation was closed; make another one")
        if type(step) is not int or step < 0 or (self._last_step is not None and step <= self._last_step):
            expected = "0 or more" if self._last_step is None else f"more than {self._last_step}"
            raise ProofrankError(f"step is {step!r}; expected a whole number, {expected}")
        self._last_step = step
        before = self.collect()
        if len(self._pending) >= self._max_pending:
            self._fail(
                step, ProofrankError(f"{self._max_pending} evaluations are unfinished; it is left out")
            )
            return before
        if self._export is None or isinstance(module, Policy):
            network, like = _network_of(module, self._like)
        else:
            try:
                like = _exported(self._export, module)
            except (PolicyError, OSError) as error:
                if not self._has_begun:  # a module that can never be exported is known at its first step
                    raise
                self._fail(step, error)
                return before
            network = like.model
        try:
            policy = policy_of(network, like.vocabulary, like.settings or ProverSettings(), name=like.name)
        except PolicyError as error:  # such as a weight that is not finite
            if not self._has_begun:  # nor would a network of another size or dtype ever be evaluated
                raise
            self._fail(step, error)
            return before
        self._has_begun = True
        self._pending.append(_Pending(step, policy, self._evaluations.start(step, policy)))
        return before + self.collect()

    def collect(self, *, wait: bool = False) -> tuple[StepResult, ...]:
        """Takes in the results that have arrived, in the order of the steps, and returns them.

        Args:
            wait: whether to wait for all evaluations that were begun.

        Raises:
            Exception: what failed, if strict.
        """
        return self._take_in(deadline=None, is_waiting=wait)

    def finish(self, timeout: float | None = None) -> tuple[StepResult, ...]:
        """Waits for all evaluations, takes in their results, and closes.

        Args:
            timeout: seconds after which an evaluation that is not done counts as a failure; None for no limit.

        Returns:
            All results, in the order of the steps.

        Raises:
            Exception: what failed, if strict.
        """
        try:
            self._take_in(deadline=None if timeout is None else time.monotonic() + timeout, is_waiting=True)
        finally:
            self.close()
        return tuple(self.results)

    def close(self) -> None:
        """Ends without waiting; results that were not taken in are lost here, and stay in the server."""
        self._is_closed = True
        self._evaluations.close()

    def __enter__(self) -> Validation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self._is_closed:
            self.finish()
        else:
            self.close()

    def _take_in(self, *, deadline: float | None, is_waiting: bool) -> tuple[StepResult, ...]:
        """Takes in what is done, in order. If it waits, what is not done by ``deadline`` is a failure."""
        taken: list[StepResult] = []
        while self._pending and (is_waiting or self._pending[0].result.done()):
            pending = self._pending.popleft()
            try:
                result = pending.result.result(_seconds_until(deadline))
            except RankingError:
                raise  # would be so at each step
            except Exception as error:
                self._fail(pending.step, _told(error))
            else:
                taken.append(result)
                self._add(result, pending.policy)
        while self._kept and (is_waiting or self._kept[0][1].done()):
            step, kept = self._kept.popleft()
            try:
                kept.result(_seconds_until(deadline))
            except Exception as error:
                self._fail(step, _told(error))
        return tuple(taken)

    def _add(self, result: StepResult, policy: Policy) -> None:
        self.results.append(result)
        if self._metric in result.metrics:
            if self._improvement.add(result.metrics[self._metric]):
                self.best = result
                self._keep(result.step, policy)
        else:
            self._fail(result.step, ProofrankError(f"the result has no metric {self._metric!r}"))
        for logger in self._loggers:
            try:
                logger.log(result.step, result.metrics)
            except Exception as error:
                self._fail(result.step, error)

    def _keep(self, step: int, policy: Policy) -> None:
        if self._best_folder is not None:
            try:
                replace_folder(self._best_folder, files_of(policy, {"step": step}))
            except OSError as error:
                self._fail(step, error)
        kept = self._evaluations.keep(step, policy)
        if kept is not None:
            self._kept.append((step, kept))

    def _fail(self, step: int, error: BaseException) -> None:
        self.failures += 1
        _LOG.warning("step %d: %s: %s", step, type(error).__name__, error)
        if self._is_strict:
            raise error


def _network_of(module: Any, like: Policy | None) -> tuple[PolicyNetwork | ExportedNetwork, Policy]:
    """The network in ``module``, and the policy whose vocabulary and prover settings it has."""
    if isinstance(module, Policy):
        return module.model, module
    network = unwrapped(module)
    if not isinstance(network, PolicyNetwork):
        raise PolicyError(
            f"module is a {type(module).__name__}; expected a PolicyNetwork or a Policy, or export= for a network of "
            "one's own"
        )
    if like is None:
        raise PolicyError("a network needs like=, a policy whose vocabulary and prover settings it has")
    return network, like


def _exported(export: Callable[[Any, Path], Policy], module: Any) -> Policy:
    """The policy that ``export`` makes of ``module``, under the name of its class."""
    with tempfile.TemporaryDirectory(prefix="proofrank-export-") as temporary:
        folder = Path(temporary) / type(unwrapped(module)).__name__
        folder.mkdir()
        policy = export(module, folder)
    if not isinstance(policy, Policy):
        raise PolicyError(
            f"export returned a {type(policy).__name__}; expected the Policy that proofrank.export_policy returns"
        )
    return policy


def _seconds_until(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _told(error: BaseException) -> BaseException:
    """The error, in words where it has none of its own."""
    if isinstance(error, (TimeoutError, CancelledError)) and not str(error):
        return ProofrankError("it was not evaluated in time")
    return error
