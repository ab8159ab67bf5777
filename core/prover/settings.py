"""The settings that define a proof step; a policy is trained, and therefore evaluated, with one choice of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proofrank.core.errors import EvaluationError, did_you_mean, nearest_names, shown

MAX_SKIPPED_UNARY_ACTIONS = 20
"""Number of single actions in a row after which a proof counts as stuck, with ``skip_unary_actions``."""

TIE_TOLERANCE = 1e-4
"""Tolerance of ties: logits within ``TIE_TOLERANCE * (1 + |largest|)`` of the largest count as equal."""

FAILURE_PENALTY = 100.0
"""Penalty that is subtracted from the score of a candidate whose proof fails."""


@dataclass(frozen=True)
class ProverSettings:
    """Settings of the proof environment.

    Attributes:
        padding_atoms: maximum number of atoms; a larger state is no action.
        padding_states: maximum number of actions of a state; with ``end_proof_action`` the last place is for ``Endf``.
        max_depth: maximum number of steps of a trajectory.
        memory_pruning: whether states visited before are no action.
        end_proof_action: whether the policy may give up (``Endf``).
        skip_unary_actions: whether single actions are followed without a step of the policy.
    """

    padding_atoms: int = 6
    padding_states: int = 120
    max_depth: int = 20
    memory_pruning: bool = True
    end_proof_action: bool = True
    skip_unary_actions: bool = False

    def __post_init__(self) -> None:
        """Raises EvaluationError for a value of the wrong type or out of its range."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(value) is not type(field.default):
                wanted = type(field.default).__name__
                raise EvaluationError(f"prover setting {field.name} is {shown(value)}; expected {wanted}")
        least = {"padding_atoms": 1, "padding_states": 2, "max_depth": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise EvaluationError(
                    f"prover setting {name} is {getattr(self, name)}; expected at least {bound}"
                )

    @property
    def max_resolutions_per_step(self) -> int:
        """Maximum number of states that one step resolves: its own and those skipped, one beyond the limit if it is
        stuck.
        """
        return 1 + (MAX_SKIPPED_UNARY_ACTIONS + 1 if self.skip_unary_actions else 0)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ProverSettings:
        """Makes the settings of ``values``; missing ones keep their defaults.

        Raises:
            EvaluationError: a name is unknown or a value is bad.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise EvaluationError(
                    f"unknown prover setting {name!r}{did_you_mean(nearest_names(name, known))}"
                )
        return cls(**values)
