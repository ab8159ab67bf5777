"""Ranks without proving every candidate to its end.

A rank says how many candidates score higher than the positive. So the positive is proved first. Its score tells of most
candidates that they are lower, long before their trajectories end:

- *Provability*. A candidate outside of the least model fails, and so scores at most minus the penalty
  (:mod:`proofrank.core.provability`). Where the positive scores more, no trajectory is needed.
- *Bound*. Log-probabilities only add up to less. A candidate whose sum so far is below the positive's score, less the
  penalty where it is known to fail, has fallen behind (:meth:`proofrank.core.prover.Candidate.has_fallen_behind`).

Both compare strictly, in the float64 arithmetic in which scores are compared, so that ties stay ties and every kind
of rank keeps its bits.

``exact`` uses the bound only for candidates outside of the model, which are known to fail: every metric stays what
it is. ``ranks`` uses it for all: ranks stay what they are, and the share of proved corruptions is not known.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from proofrank.core.choices import PRUNING_LEVELS, PruningLevel
from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset
from proofrank.core.prover import FAILURE_PENALTY, Outcomes


class ProvableAtoms(Protocol):
    """Tells which atoms may have a proof; :class:`proofrank.core.provability.LeastModel` does."""

    def contains(self, triples: np.ndarray) -> np.ndarray:
        """``[N]`` bool for ``[N, 3]`` int64; False means that no proof exists."""
        ...


class AllAtoms:
    """In place of a least model that is not known: every atom may have a proof."""

    def contains(self, triples: np.ndarray) -> np.ndarray:
        """See :class:`ProvableAtoms`."""
        return np.ones(len(triples), dtype=bool)


@dataclass(frozen=True)
class Pruning:
    """How much of the candidates' trajectories may be left out.

    Attributes:
        level: one of ``PRUNING_LEVELS``, but not ``none``.
        model: says what has no proof.
    """

    level: PruningLevel
    model: ProvableAtoms

    def __post_init__(self) -> None:
        if self.level not in PRUNING_LEVELS or self.level == "none":
            raise RankingError(
                f"pruning is {self.level!r}; expected {' or '.join(PRUNING_LEVELS[1:])} (leave it out for 'none')"
            )

    @property
    def knows_proved(self) -> bool:
        """Whether it is still known of each corruption whether it is proved."""
        return self.level != "ranks"

    def after_positive(self, score: float, is_provable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a positive's score says of its corruptions.

        Args:
            score: of the positive.
            is_provable: ``[n]`` bool, which corruptions may have a proof.

        Returns:
            ``[n]`` bool, which of them need a trajectory; and ``[n]`` float64, the threshold of each.
        """
        is_left = is_provable | (score <= -FAILURE_PENALTY)
        has_threshold = ~is_provable if self.level == "exact" else np.ones(len(is_provable), dtype=bool)
        return is_left, np.where(has_threshold, score, -np.inf)


def pruning_of(level: str, dataset: Dataset, cache_folder: Path | None) -> Pruning | None:
    """The pruning of a level by name, with the least model of ``dataset``.

    Args:
        level: one of ``PRUNING_LEVELS``.
        dataset: the graph.
        cache_folder: where least models are kept; None computes it anew.

    Returns:
        None where nothing is pruned.

    Raises:
        RankingError: there is no such level.
    """
    known = pruning_level(level)
    if known == "none":
        return None
    # Imported here: ranking without pruning, as on a machine that only runs benchmarks, does not need scipy.
    from proofrank.core.provability import stored_least_model

    return Pruning(known, stored_least_model(dataset, cache_folder))


def pruning_level(name: str) -> PruningLevel:
    """The level of this name. Raises RankingError if there is none."""
    for known in PRUNING_LEVELS:
        if name == known:
            return known
    raise RankingError(f"pruning is {name!r}; expected one of {', '.join(PRUNING_LEVELS)}")


@dataclass(frozen=True)
class PruningCounts:
    """How many candidates took which way.

    Attributes:
        evaluated: trajectories that took their course.
        unprovable: candidates without a trajectory, because no proof of them exists, or, with hybrid scores, because
            none would change their order.
        fallen_behind: trajectories that ended once they were certain to score less than the positive.
        steps: of all trajectories.
    """

    evaluated: int = 0
    unprovable: int = 0
    fallen_behind: int = 0
    steps: int = 0

    @classmethod
    def of(cls, outcomes: Outcomes) -> PruningCounts:
        """The counts of ``outcomes``."""
        is_unprovable = outcomes.is_pruned & (outcomes.steps == 0)
        num_pruned = int(np.count_nonzero(outcomes.is_pruned))
        num_unprovable = int(np.count_nonzero(is_unprovable))
        return cls(
            len(outcomes) - num_pruned, num_unprovable, num_pruned - num_unprovable, int(outcomes.steps.sum())
        )

    def to_dict(self, level: str) -> dict[str, Any]:
        """The level, and the counts by name where it leaves out anything."""
        return {"level": level, **(dataclasses.asdict(self) if level != "none" else {})}

    def __add__(self, other: PruningCounts) -> PruningCounts:
        return PruningCounts(
            self.evaluated + other.evaluated,
            self.unprovable + other.unprovable,
            self.fallen_behind + other.fallen_behind,
            self.steps + other.steps,
        )
