"""The live policy, the checks of its replacement, and the reference evaluators of policies."""

from __future__ import annotations

import dataclasses

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import ReferenceEvaluator, settings_for
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, PolicyConfig
from proofrank.core.policy.exported import ExportedConfig
from proofrank.core.prover import ProverSettings
from proofrank.service.engine.loaded import Loaded
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics

_MOST_REFERENCES = 4

_Compared = PolicyConfig | ExportedConfig | ProverSettings


class LivePolicy:
    """Holds the live policy, and a reference evaluator for each policy that was recently asked for."""

    def __init__(self, settings: Settings, metrics: ServiceMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._active: Policy | None = None
        self._references: dict[str, ReferenceEvaluator] = {}

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
        """Makes ``policy`` the live one.

        Raises:
            EvaluationError: its shape, or a prover setting that it was trained with, differs from what is served.
            PolicyError: it does not fit the graph.
        """
        self.check(policy, loaded)
        self._metrics.show_live_policy(loaded.dataset, policy, self._active)
        self._active = policy

    def check(self, policy: Policy, loaded: Loaded) -> None:
        """Checks that ``policy`` can go live without a new evaluator; raises as :meth:`activate` does."""
        active = self.active
        policy.check_fits(loaded.dataset)
        differing = [
            *_differences(policy.shape, active.shape),
            *_differences(settings_for(policy, self._settings.prover_overrides), loaded.settings),
        ]
        if differing:
            raise EvaluationError(
                f"policy {policy.name!r} cannot replace {active.name!r} in this server: {'; '.join(differing)}"
            )

    def reference(self, loaded: Loaded, policy: Policy) -> ReferenceEvaluator:
        """Returns a reference evaluator with ``policy``, which shares no state with the serving one."""
        if policy.content_hash not in self._references:
            if len(self._references) >= _MOST_REFERENCES:
                del self._references[next(iter(self._references))]
            self._references[policy.content_hash] = ReferenceEvaluator(
                loaded.dataset, policy, loaded.settings
            )
        return self._references[policy.content_hash]


def _differences(offered: _Compared, served: _Compared) -> list[str]:
    """Returns a text for each field in which ``offered`` differs from ``served``."""
    if type(offered) is not type(served):
        own, built_in = "a network of somebody's own", "the built-in network"
        texts = (own, built_in) if isinstance(offered, ExportedConfig) else (built_in, own)
        return [f"it has {texts[0]}, here it is {texts[1]}"]
    theirs, ours = dataclasses.asdict(offered), dataclasses.asdict(served)
    return [
        f"its {name} is {theirs[name]!r}, here it is {ours[name]!r}"
        for name in ours
        if theirs[name] != ours[name]
    ]
