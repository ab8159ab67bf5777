"""The interface of all evaluators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from proofrank.core.errors import EvaluationError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.policy.exported import ExportedConfig
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from proofrank.core.prover.growth import most_places, most_variables, new_variables
from proofrank.core.prover.packing import check_packable


class Evaluator(Protocol):
    """Proves candidates with one policy on one graph."""

    @property
    def engine(self) -> str:
        """Its name among ``ENGINES``."""
        ...

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Sequence[Outcome]:
        """The outcome of each candidate, in order; none depends on the others.

        Args:
            candidates: what to prove.
            recorded_actions: for each candidate the action indices to take instead of the policy's choice.
            on_progress: told the number of candidates done so far.

        Raises:
            EvaluationError: a candidate cannot be evaluated exactly, or not along its recorded actions.
        """
        ...


@runtime_checkable
class GivesBits(Protocol):
    """A least model that can say of every ground atom whether it may have a proof."""

    def bits(self, num_predicates: int, num_constants: int) -> np.ndarray:
        """``[P + 1, C + 1, ceil((C + 1) / 8)]`` uint8, as :class:`proofrank.core.prover.atom_bits.AtomBits` has it.

        A model may keep it, so callers do not change it.
        """
        ...


@runtime_checkable
class TakesModel(Protocol):
    """An evaluator that can look up which candidates may have a proof."""

    def load_model(self, model: object) -> None:
        """Takes what is known of the atoms that may have a proof; ``model`` may give no bits."""
        ...


def check_exact(
    dataset: Dataset, policy: Policy, settings: ProverSettings, *, is_packed: bool = True
) -> None:
    """Refuses what cannot be evaluated exactly; needs no memory.

    Args:
        dataset: the graph.
        policy: policy that evaluates.
        settings: of the prover.
        is_packed: whether atoms are packed into whole numbers, as those of every engine but the reference are.

    Raises:
        PolicyError: the policy does not fit the graph.
        EvaluationError: the graph is too large to be packed, or a trajectory may need more variables or places than
            the policy has.
    """
    policy.check_fits(dataset)
    if is_packed:
        check_packable(dataset, policy.shape.max_variables)
    check_enough_variables(dataset, policy, settings, settings.max_resolutions_per_step)
    _check_enough_atoms(policy, most_places(dataset, settings))


def check_same_shape(policy: Policy, before: Policy) -> None:
    """Checks that an evaluator made for ``before`` can go on with ``policy``.

    Raises:
        EvaluationError: their shapes differ.
    """
    if policy.shape != before.shape:
        raise EvaluationError(
            f"policy {policy.name!r} has another shape than {before.name!r}; make a new evaluator for it"
        )


def check_enough_variables(
    dataset: Dataset, policy: Policy, settings: ProverSettings, steps_per_depth: int
) -> None:
    """Refuses a graph in which a trajectory might need more run-time variables than the policy can embed.

    Args:
        dataset: the graph; its rules say how many variables a step can add.
        policy: says how many variables have an embedding.
        settings: say how many steps there are.
        steps_per_depth: resolutions that one step may hide (more than 1 where single actions are skipped).

    Raises:
        EvaluationError: the variables may not suffice.
    """
    needed = most_variables(dataset, settings, steps_per_depth)
    if needed > policy.shape.max_variables:
        per_step, per_skip = new_variables(dataset, settings)
        growth = f"{per_step} new variables of a rule"
        if steps_per_depth > 1:
            growth = f"({growth} + {per_skip} x {steps_per_depth - 1} skipped actions)"
        raise EvaluationError(
            f"a trajectory of dataset {dataset.name!r} may need {needed} variables "
            f"(max_depth {settings.max_depth} x {growth}); "
            f"policy {policy.name!r} embeds only {policy.shape.max_variables}"
        )


def _check_enough_atoms(policy: Policy, num_atoms: int) -> None:
    """Refuses states that have more places than an exported network takes.

    Args:
        policy: says how many it takes; the built-in network takes any number.
        num_atoms: places of a state.

    Raises:
        EvaluationError: they are too many.
    """
    config = policy.shape
    if isinstance(config, ExportedConfig) and num_atoms > config.num_atoms:
        raise EvaluationError(
            f"states have up to {num_atoms} atoms; policy {policy.name!r} takes {config.num_atoms}: export it with "
            "these prover settings, or lower padding_atoms"
        )
