"""The shape of a policy: what an evaluator is made for, and what policies that share one have in common."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proofrank.core.evaluator import settings_for
from proofrank.core.policy import Policy, PolicyConfig
from proofrank.core.policy.exported import ExportedConfig
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.beams import Beam


@dataclass(frozen=True)
class Shape:
    """Sizes and formulas of a network, and the settings of the prover.

    Attributes:
        network: sizes and formulas.
        settings: prover settings in force.
        beam: how many trajectories a candidate has; None for one.
        is_sampling: whether trajectories are drawn in place of chosen.
    """

    network: PolicyConfig | ExportedConfig
    settings: ProverSettings
    beam: Beam | None = None
    is_sampling: bool = False

    @classmethod
    def of(
        cls,
        policy: Policy,
        overrides: Mapping[str, Any],
        beam: Beam | None = None,
        *,
        is_sampling: bool = False,
    ) -> Shape:
        """Returns the shape of ``policy`` under the prover settings that the service overrides, for a beam or for
        sampling.

        Raises:
            EvaluationError: a setting is bad.
        """
        with_beam = beam if beam is not None and beam.width > 1 else None
        return cls(policy.shape, settings_for(policy, overrides), with_beam, is_sampling)

    @property
    def name(self) -> str:
        """A short name for logs and metrics: a summary of the network, and six digits that tell apart what it does
        not."""
        network = self.network
        content = json.dumps([dataclasses.asdict(network), dataclasses.asdict(self.settings)], sort_keys=True)
        digits = hashlib.sha256(content.encode()).hexdigest()[:6]
        of_beam = "" if self.beam is None else f"-beam{self.beam.width}-{self.beam.score}"
        of_sampling = "-sampling" if self.is_sampling else ""
        return f"{network.summary}-{digits}{of_beam}{of_sampling}"

    def differences(self, other: Shape) -> list[str]:
        """Returns a text for each field in which ``other`` differs, such as ``hidden_dim 64 (before 32)``."""
        if type(self.network) is not type(other.network):
            return [f"network {other.network.summary} (before {self.network.summary})"]
        theirs, ours = (
            {**dataclasses.asdict(shape.network), **dataclasses.asdict(shape.settings)}
            for shape in (other, self)
        )
        return [f"{name} {theirs[name]} (before {ours[name]})" for name in ours if theirs[name] != ours[name]]
