"""The rankings of one evaluation as columns, and what they depend on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from proofrank.core.comparison.identity import Identity
from proofrank.core.comparison.scores import ScoredBy

Triple = tuple[str, str, str]
"""The names of a triple: (head, relation, tail)."""


@dataclass(frozen=True)
class Protocol:
    """How an evaluation ranks: two evaluations can be compared if they rank alike.

    Attributes:
        split: the split whose triples are ranked; None for triples of the user's own.
        limit: maximum number of triples, drawn with the seed; None for all.
        side: the constant that is replaced: ``head``, ``tail`` or ``both``.
        corruptions: number of corruptions for each triple and side, or ``"all"``.
        filtered: whether corruptions that are known triples are left out.
        ties: the rank that counts among equal scores.
        seed: seed of every draw.
        scoring: what a score is: ``proof``, ``embedding`` or ``hybrid``.
        beam: maximum number of trajectories of a candidate.
        beam_score: how the proofs of a candidate make its score; with one trajectory it makes no difference.
        name: name of the protocol; None without one.
        candidates_from: where candidates come from: ``domains``, ``entities``, ``relations``, or a file, by
            ``sha256:`` and its hash.
        negatives: SHA-256 of the file of fixed negatives; None without one.
    """

    split: str | None
    limit: int | None
    side: str
    corruptions: int | Literal["all"]
    filtered: bool
    ties: str
    seed: int
    scoring: str = "proof"
    beam: int = 1
    beam_score: str = "max"
    name: str | None = None
    candidates_from: str = "domains"
    negatives: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The protocol as JSON, without fields that have their default."""
        unless = {"name": None, "candidates_from": "domains", "negatives": None}
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in unless or value != unless[name]
        }

    def differences(self, other: Protocol) -> list[str]:
        """What differs from ``other`` and can change a rank: a text for each name, this value first."""
        return [
            f"{'protocol' if name == 'name' else name} is {mine!r} in A and {theirs!r} in B"
            for name, mine in dataclasses.asdict(self).items()
            if mine != (theirs := getattr(other, name))
            and not (name == "seed" and self._ignores_seed(other))
            and not (name == "beam_score" and self.beam == other.beam == 1)
        ]

    def _ignores_seed(self, other: Protocol) -> bool:
        """Whether nothing is drawn."""
        return all(
            protocol.corruptions == "all" and protocol.limit is None and protocol.ties != "random"
            for protocol in (self, other)
        )


@dataclass(frozen=True, eq=False)
class Rankings:
    """The rankings of one evaluation, a row for each triple and side.

    Attributes:
        label: what messages and tables call it, such as a file or a job.
        dataset: the dataset.
        policy: the policy.
        protocol: how it ranks.
        pruning: what its evaluation left out: ``none``, ``exact`` or ``ranks``. The ranks do not depend on it.
        triples: ``[N]``, names of the triple.
        sides: ``[N]``, the side whose constant is replaced: ``head`` or ``tail``.
        ranks: ``[N]`` float64, under the ties of the protocol.
        num_candidates: ``[N]`` int64, the positive included.
        is_proved: ``[N]`` bool, whether the positive is proved.
        scored_by: the embedding and the weights; None with scores of proofs, or where it is not said.
    """

    label: str
    dataset: Identity
    policy: Identity
    protocol: Protocol
    pruning: str
    triples: tuple[Triple, ...]
    sides: tuple[str, ...]
    ranks: np.ndarray
    num_candidates: np.ndarray
    is_proved: np.ndarray
    scored_by: ScoredBy | None = None

    @classmethod
    def of_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        *,
        label: str,
        dataset: Identity,
        policy: Identity,
        protocol: Protocol,
        pruning: str,
        scored_by: ScoredBy | None = None,
    ) -> Rankings:
        """Makes the columns of rows with the keys ``head``, ``relation``, ``tail``, ``side``, ``rank``,
        ``num_candidates`` and ``proved``.

        Raises:
            KeyError: a row lacks a key.
            ValueError, TypeError: a rank is no number.
        """
        listed = list(rows)
        return cls(
            label=label,
            dataset=dataset,
            policy=policy,
            protocol=protocol,
            pruning=pruning,
            triples=tuple((row["head"], row["relation"], row["tail"]) for row in listed),
            sides=tuple(row["side"] for row in listed),
            ranks=np.array([row["rank"] for row in listed], dtype=np.float64),
            num_candidates=np.array([row["num_candidates"] for row in listed], dtype=np.int64),
            is_proved=np.array([row["proved"] for row in listed], dtype=bool),
            scored_by=scored_by,
        )

    def __len__(self) -> int:
        return len(self.triples)
