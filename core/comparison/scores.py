"""What evaluations score by beside proofs, and how two of them differ in it, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from proofrank.core.comparison.identity import Identity

_WEIGHTS = ("weight", "bonus", "penalty")


@dataclass(frozen=True)
class ScoredBy:
    """The embedding of an evaluation, and the weights of hybrid scores.

    Attributes:
        embedding: its name and content.
        weights: ``weight``, ``bonus`` and ``penalty``; empty where the embedding scores alone.
        by_relation: such weights of single relations, by name.
    """

    embedding: Identity
    weights: Mapping[str, Any]
    by_relation: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, scoring: Mapping[str, Any] | None) -> ScoredBy | None:
        """What is written of an evaluation's scores; None for scores of proofs, and where nothing is written.

        Args:
            scoring: ``kind``, ``embedding`` (``name`` and ``sha256``), and with hybrid scores ``weights``, in which, or
                beside which, ``by_relation`` may stand.

        Raises:
            KeyError, TypeError: it is of another form.
        """
        if scoring is None or scoring["kind"] == "proof":
            return None
        weights = dict(scoring.get("weights") or {})
        by_relation = weights.pop("by_relation", None) or scoring.get("by_relation") or {}
        embedding = scoring["embedding"]
        return cls(Identity(embedding["name"], embedding["sha256"]), weights, by_relation)

    def weights_of(self, relation: str) -> Mapping[str, Any]:
        """The weights of a relation."""
        return self.by_relation.get(relation, self.weights)


def scores_note(a: ScoredBy | None, b: ScoredBy | None, *, is_same_policy: bool) -> str | None:
    """Says that two evaluations of one kind of scoring are unlike in their scores; None where they are not, or where
    neither says anything.

    Args:
        a: of the first.
        b: of the second.
        is_same_policy: whether both were ranked by one policy.
    """
    if a is None and b is None:
        return None
    if a is None or b is None:
        return f"{'A' if a is None else 'B'} does not say what it scores by, so the scores may be unlike."
    differences = list(_differences(a, b))
    if not differences:
        return None
    text = f"The scores are unlike: {'; '.join(differences)}."
    if not a.weights:
        return f"{text} By an embedding alone the policy has no part in a rank."
    if is_same_policy:
        return f"{text} The policy is the same, and the differences are none of policies."
    return f"{text} The policies differ too, and the differences are of all of it together."


def _differences(a: ScoredBy, b: ScoredBy) -> Iterator[str]:
    if a.embedding.sha256 != b.embedding.sha256:
        yield f"the embedding is {_named(a.embedding)} in A and {_named(b.embedding)} in B"
    for name in _WEIGHTS:
        mine, theirs = a.weights.get(name), b.weights.get(name)
        if mine != theirs:
            yield f"{name} is {_shown(mine)} in A and {_shown(theirs)} in B"
    own = sorted({*a.by_relation, *b.by_relation})
    others = [relation for relation in own if a.weights_of(relation) != b.weights_of(relation)]
    if others:
        # Each of these has weights of its own in A or in B.
        named = ", ".join(map(repr, others[:3])) + ", …" * (len(others) > 3)
        yield f"the weights of {named} differ ({len(others)} of those with weights of their own)"


def _named(embedding: Identity) -> str:
    return f"{embedding.name!r} ({embedding.sha256[:12]})"


def _shown(weight: float | None) -> str:
    return "none" if weight is None else f"{weight:g}"
