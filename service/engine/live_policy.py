"""The live policy, the checks of its replacement, and the reference evaluators of policies."""

from __future__ import annotations

import threading

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.base import check_exact
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.service.engine.loaded import Loaded
from proofrank.service.telemetry.metrics import ServiceMetrics

MAX_REFERENCES = 4
"""Number of reference evaluators that are kept."""


class LivePolicy:
    """Holds the live policy, and a reference evaluator for each policy that was recently asked for."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        self._metrics = metrics
        self._active: Policy | None = None
        self._references: dict[str, ReferenceEvaluator] = {}
        self._lock = threading.Lock()

    @property
    def active(self) -> Policy:
        """The live policy; there must be a first one."""
        assert self._active is not None
        return self._active

    def begin_with(self, policy: Policy, dataset: Dataset) -> None:
        """Makes ``policy`` the first live policy; it must fit."""
        self._metrics.show_live_policy(dataset, policy, None)
        self._active = policy

    def activate(self, policy: Policy, loaded: Loaded) -> None:
        """Makes ``policy`` the live one; :meth:`check` must have passed."""
        self._metrics.show_live_policy(loaded.dataset, policy, self._active)
        self._active = policy

    def check(self, policy: Policy, loaded: Loaded) -> None:
        """Checks that an evaluator for ``policy`` can be exact on this graph; needs no memory.

        Raises:
            PolicyError: it does not fit the graph.
            EvaluationError: it has too few variables for the graph's rules or too few places for its states, or a
                prover setting is bad.
        """
        check_exact(loaded.dataset, policy, loaded.evaluators.shape_of(policy).settings)

    def reference(self, loaded: Loaded, policy: Policy) -> ReferenceEvaluator:
        """Returns a reference evaluator with ``policy``, which shares no state with the serving one; may be called from
        any thread.
        """
        with self._lock:
            known = self._references.get(policy.content_hash)
        if known is not None:
            return known
        # Outside of the lock, which the event loop takes too.
        made = ReferenceEvaluator(loaded.dataset, policy, loaded.evaluators.shape_of(policy).settings)
        with self._lock:
            known = self._references.setdefault(policy.content_hash, made)
            while len(self._references) > MAX_REFERENCES:
                del self._references[next(iter(self._references))]
        return known
