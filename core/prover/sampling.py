"""Sampled trajectories: the same draws for a candidate whatever is drawn beside it, and what a share of successes says.

A draw is a hash of its key, so there is no state that an order of candidates, a batch or a library's generator could
change.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from proofrank.core.choices import MOST_SAMPLES
from proofrank.core.errors import EvaluationError, shown
from proofrank.core.graph import Triple
from proofrank.core.prover.choice import Choice, log_softmax
from proofrank.core.prover.columns import Candidates
from proofrank.core.prover.outcome import Candidate


def check_sampling(number: int, seed: int) -> None:
    """Raises EvaluationError for a number of samples or a seed out of its range."""
    if type(number) is not int or not 1 <= number <= MOST_SAMPLES:
        raise EvaluationError(f"samples is {shown(number)}; expected a whole number from 1 to {MOST_SAMPLES}")
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise EvaluationError(f"seed is {shown(seed)}; expected a whole number from 0 to 2**63 - 1")


def uniform(seed: int, triple: Triple, sample: int, step: int) -> float:
    """Returns the draw of one step: a number from 0 to below 1, a multiple of 2**-53.

    Args:
        seed: of all draws.
        triple: the candidate, by its indices.
        sample: which of the candidate's trajectories, from 0.
        step: which step of it, from 0.
    """
    key = struct.pack("<6q", seed, *triple, sample, step)
    digest = hashlib.blake2b(key, digest_size=8, person=b"proofrank").digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def drawn_action(log_probabilities: Sequence[float], draw: float) -> int:
    """Returns the first action whose probability, with those of the actions before it, exceeds ``draw``.

    >>> drawn_action([-0.7, -0.7], 0.3), drawn_action([-0.7, -0.7], 0.6)
    (0, 1)
    """
    total = 0.0
    for index, log_probability in enumerate(log_probabilities):
        total += math.exp(log_probability)
        if total > draw:
            return index
    # Probabilities may add up to a little less than 1: the last action that is possible.
    return max(index for index, value in enumerate(log_probabilities) if math.exp(value) > 0.0)


def drawn(seed: int, triple: Triple, sample: int) -> Choice:
    """Makes a choice that draws from the softmax, for one trajectory."""
    step = 0

    def choose(logits: Sequence[float]) -> int:
        nonlocal step
        step += 1
        return drawn_action(log_softmax(logits), uniform(seed, triple, sample, step - 1))

    return choose


class SampledCandidates(Candidates):
    """Candidates with the key of each one's draws: a candidate for each trajectory.

    Attributes:
        seed: ``[C]`` int64, of its draws.
        sample: ``[C]`` int64, which of the triple's trajectories it is, from 0.
    """

    def __init__(
        self,
        triples: np.ndarray,
        is_positive: np.ndarray,
        threshold: np.ndarray | None = None,
        is_provable: np.ndarray | None = None,
        seed: np.ndarray | None = None,
        sample: np.ndarray | None = None,
    ) -> None:
        """Columns as of :class:`Candidates`; seed and sample are 0 by default."""
        super().__init__(triples, is_positive, threshold, is_provable)
        self.seed = np.zeros(len(is_positive), dtype=np.int64) if seed is None else seed
        self.sample = np.zeros(len(is_positive), dtype=np.int64) if sample is None else sample

    @classmethod
    def drawn(cls, candidates: Sequence[Candidate], number: int, seed: int) -> SampledCandidates:
        """``number`` trajectories of each of ``candidates``, those of a candidate in a row.

        Raises:
            EvaluationError: ``number`` or ``seed`` is out of its range.
        """
        check_sampling(number, seed)
        once = Candidates.of(candidates)
        return cls(
            once.triples.repeat(number, axis=0),
            once.is_positive.repeat(number),
            seed=np.full(len(once) * number, seed, dtype=np.int64),
            sample=np.tile(np.arange(number), len(once)),
        )

    def _columns(self) -> tuple[np.ndarray, ...]:
        return *super()._columns(), self.seed, self.sample


def shares_of(success: np.ndarray, number: int) -> list[SampledShare]:
    """The share of each candidate, of ``success`` ``[C * number]`` bool in the order of ``SampledCandidates.drawn``."""
    return [SampledShare(number, proved) for proved in success.reshape(-1, number).sum(axis=1).tolist()]


@dataclass(frozen=True)
class SampledShare:
    """How many of a candidate's sampled trajectories are proofs.

    Attributes:
        num_samples: number of trajectories.
        num_proved: number of those that are proofs.
    """

    num_samples: int
    num_proved: int

    @property
    def share(self) -> float:
        """The share of proofs: an estimate of the probability that the policy's random walk proves the candidate."""
        return self.num_proved / self.num_samples

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the Wilson interval of that probability (Wilson 1927).

        Args:
            confidence: share of such intervals that hold the probability, between 0 and 1.
        """
        if not 0.0 < confidence < 1.0:
            raise EvaluationError(f"confidence is {shown(confidence)}; expected a number between 0 and 1")
        z = -NormalDist().inv_cdf((1 - confidence) / 2)  # exact near 1, unlike 0.5 + confidence / 2
        n, share = self.num_samples, self.share
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        # The ends are 0 and 1 exactly where nothing or everything is proved; rounding would leave a trace.
        low = 0.0 if self.num_proved == 0 else max(0.0, middle - half)
        high = 1.0 if self.num_proved == n else min(1.0, middle + half)
        return low, high
