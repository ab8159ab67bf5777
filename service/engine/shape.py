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


@dataclass(frozen=True)
class Shape:
    """Sizes and formulas of a network, and the settings of the prover.

    Attributes:
        network: sizes and formulas.
        settings: prover settings in force.
    """

    network: PolicyConfig | ExportedConfig
    settings: ProverSettings

    @classmethod
    def of(cls, policy: Policy, overrides: Mapping[str, Any]) -> Shape:
        """Returns the shape of ``policy`` under the prover settings that the service overrides.

        Raises:
            EvaluationError: a setting is bad.
        """
        return cls(policy.shape, settings_for(policy, overrides))

    @property
    def name(self) -> str:
        """A short name for logs and metrics: what kind of network it is, sizes, and six digits that tell apart what
        these do not.
        """
        network = self.network
        content = json.dumps([dataclasses.asdict(network), dataclasses.asdict(self.settings)], sort_keys=True)
        digits = hashlib.sha256(content.encode()).hexdigest()[:6]
        if isinstance(network, ExportedConfig):
            return f"own-{network.maps}-{network.embedding_dim}-{digits}"
        sizes = f"{network.embedding_dim}x{network.hidden_dim}x{network.num_layers}"
        return f"{network.atom_embedder}-{network.state_pooling}-{sizes}-{digits}"

    def differences(self, other: Shape) -> list[str]:
        """Returns a text for each field in which ``other`` differs, such as ``hidden_dim 64 (before 32)``."""
        theirs, ours = (shape._fields() for shape in (other, self))
        differing = [name for name in (*ours, *theirs) if theirs.get(name) != ours.get(name)]
        return [f"{name} {theirs.get(name)} (before {ours.get(name)})" for name in dict.fromkeys(differing)]

    def _fields(self) -> dict[str, Any]:
        """The fields of both, and which kind of network it is."""
        kind = "own" if isinstance(self.network, ExportedConfig) else "built-in"
        return {"kind": kind, **dataclasses.asdict(self.network), **dataclasses.asdict(self.settings)}
