"""Weights of hybrid scores, and the files that hold them; needs only Python.

:mod:`proofrank.core.ranking.scoring` has the scores.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from proofrank.core.choices import BEAM_SCORES, MOST_TRAJECTORIES, MOST_WEIGHT, BeamScore
from proofrank.core.errors import RankingError, shown

HYBRID_FILE = "hybrid.json"
"""Name of the file of weights in the folder of a policy."""

HYBRID_FORMAT = "proofrank-hybrid-1"

MOST_HYBRID_BYTES = 16 << 20
"""Maximum size of a file of weights in bytes."""

DEFAULT_PENALTY = 100.0
"""Penalty of a failure unless another is given: that of scores of proofs."""


@dataclass(frozen=True)
class HybridWeights:
    """How a proof and an embedding make one score.

    Attributes:
        weight: w, by which log sigmoid of the embedding's score is multiplied; 0 or more.
        bonus: b, what a proof adds; None adds the log-probability of the proof instead.
        penalty: what a failure takes away; 0 or more.
    """

    weight: float = 1.0
    bonus: float | None = None
    penalty: float = DEFAULT_PENALTY

    def __post_init__(self) -> None:
        """Raises RankingError for a value that is no number, too large, or negative where it may not be."""
        for name in ("weight", "bonus", "penalty"):
            value = getattr(self, name)
            if value is None and name == "bonus":
                continue
            least = -MOST_WEIGHT if name == "bonus" else 0
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is None or not is_number or not least <= value <= MOST_WEIGHT:
                wanted = f"a number from {least:g} to {MOST_WEIGHT:g}" + (
                    ", or null" if name == "bonus" else ""
                )
                raise RankingError(f"{name} of hybrid scores is {shown(value)}; expected {wanted}")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> HybridWeights:
        """The weights by name; those that are missing have their defaults. Raises RankingError."""
        known = [known.name for known in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise RankingError(f"{shown(name)} of hybrid scores is unknown; expected {', '.join(known)}")
        return cls(**fields)


class EmbeddingIdentity(NamedTuple):
    """Name and content of an embedding.

    Attributes:
        name: name of its folder or file.
        sha256: hash of its content, in hexadecimal.
    """

    name: str
    sha256: str


class FittedBeam(NamedTuple):
    """The beam whose scores weights were fitted to.

    Attributes:
        width: number of trajectories of a candidate; 1 is the greedy one.
        score: how several proofs make a score, one of ``BEAM_SCORES``.
    """

    width: int = 1
    score: BeamScore = "max"

    def __str__(self) -> str:
        """The beam in words."""
        return "greedy proofs" if self.width == 1 else f"a beam of {self.width} ({self.score})"


GREEDY = FittedBeam()
"""What weights were fitted to that say nothing of a beam."""


@dataclass(frozen=True)
class Hybrid:
    """The weights of hybrid scores, overall and perhaps per relation.

    Attributes:
        overall: for relations that have none of their own.
        by_relation: weights of relations, by their names.
        fitted_with: the embedding that they were fitted with; None if that is not known.
        fitted_to: SHA-256 of weights, config and vocabulary of the policy that they were fitted to; None if it is not
            known.
        fitted_beam: the beam that they were fitted to; None if they were not fitted, or that is not known.
    """

    overall: HybridWeights = HybridWeights()
    by_relation: Mapping[str, HybridWeights] = field(default_factory=dict)
    fitted_with: EmbeddingIdentity | None = field(default=None, compare=False)
    fitted_to: str | None = field(default=None, compare=False)
    fitted_beam: FittedBeam | None = field(default=None, compare=False)

    def of(self, relation: str) -> HybridWeights:
        """The weights of a relation."""
        return self.by_relation.get(relation, self.overall)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Hybrid:
        """What :meth:`to_dict` gives, or a file holds; of its ``fitted`` only the beam is read, and no ``format``.

        Raises:
            RankingError: names what is wrong.
        """
        beside = ("by_relation", "format", "fitted", "embedding", "policy")
        own = {name: value for name, value in fields.items() if name not in beside}
        by_relation = fields.get("by_relation", {})
        if not isinstance(by_relation, Mapping) or not all(
            isinstance(of, Mapping) for of in by_relation.values()
        ):
            raise RankingError(
                f"by_relation of hybrid scores is {shown(by_relation)}; expected weights by the name of a relation"
            )
        return cls(
            HybridWeights.from_dict(own),
            {name: HybridWeights.from_dict(of) for name, of in by_relation.items()},
            _embedding(fields.get("embedding")),
            _policy(fields.get("policy")),
            _beam(fields.get("fitted")),
        )

    def to_dict(self) -> dict[str, Any]:
        """The weights by name, with ``by_relation`` where there are any."""
        of_relations = {name: dataclasses.asdict(of) for name, of in self.by_relation.items()}
        return dataclasses.asdict(self.overall) | ({"by_relation": of_relations} if of_relations else {})

    def warning_for(self, width: int, score: BeamScore) -> str | None:
        """What to say where the weights score another beam than they were fitted to; None for the same, or unknown.

        Args:
            width: number of trajectories of a candidate.
            score: how several proofs make a score.
        """
        fitted, used = self.fitted_beam, FittedBeam(width, score)
        is_same = fitted is None or fitted == used or fitted.width == used.width == 1
        if is_same:
            return None
        return (
            f"the weights of hybrid scores were fitted to {fitted}, and score {used}; expected the same beam, or "
            "weights that are fitted to this one"
        )


def _embedding(value: Any) -> EmbeddingIdentity | None:
    """The embedding that a file names. Raises RankingError."""
    if value is None:
        return None
    if not (
        isinstance(value, Mapping)
        and set(value) == {"name", "sha256"}
        and all(isinstance(part, str) for part in value.values())
    ):
        raise RankingError(
            f"embedding of hybrid scores is {shown(value)}; expected an object of 'name' and 'sha256'"
        )
    return EmbeddingIdentity(value["name"], value["sha256"])


def _policy(value: Any) -> str | None:
    """The policy that a file names, by its hash. Raises RankingError."""
    if value is not None and not isinstance(value, str):
        raise RankingError(f"policy of hybrid scores is {shown(value)}; expected a SHA-256")
    return value


def _beam(fitted: Any) -> FittedBeam | None:
    """The beam that the figures of a fit name: greedy proofs where they name none. Raises RankingError."""
    if not isinstance(fitted, Mapping):
        return None
    beam = fitted.get("beam", GREEDY._asdict())
    if not (
        isinstance(beam, Mapping)
        and set(beam) == {"width", "score"}
        and type(beam["width"]) is int
        and 1 <= beam["width"] <= MOST_TRAJECTORIES
        and beam["score"] in BEAM_SCORES
    ):
        raise RankingError(
            f"beam of fitted hybrid scores is {shown(beam)}; expected an object of 'width', from 1 to "
            f"{MOST_TRAJECTORIES}, and 'score', one of {', '.join(BEAM_SCORES)}"
        )
    return FittedBeam(beam["width"], beam["score"])


def read_hybrid(path: Path) -> Hybrid:
    """Reads a file of weights, as ``proofrank fit-hybrid`` writes it.

    Raises:
        RankingError: it cannot be read, or a weight is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_HYBRID_BYTES + 1)
    except OSError as error:
        raise RankingError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_hybrid(content, str(path))


def parse_hybrid(content: bytes, shown_as: str, *, with_format: bool = False) -> Hybrid:
    """The weights in the content of such a file.

    Args:
        content: of the file, or its beginning where it is larger than ``MOST_HYBRID_BYTES``.
        shown_as: what errors call the file.
        with_format: whether ``format`` must be there.

    Raises:
        RankingError: it is too large, not as expected, or a weight is wrong; the text begins with the file.
    """
    if len(content) > MOST_HYBRID_BYTES:
        raise RankingError(
            f"{shown_as}: larger than {MOST_HYBRID_BYTES} bytes; expected weights of hybrid scores"
        )
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RankingError(f"{shown_as}: not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise RankingError(f"{shown_as}: a JSON {type(fields).__name__}; expected an object")
    found = fields.get("format", None if with_format else HYBRID_FORMAT)
    if found != HYBRID_FORMAT:
        raise RankingError(f"{shown_as}: 'format' is {shown(found)}; expected {HYBRID_FORMAT!r}")
    try:
        return Hybrid.from_dict(fields)
    except RankingError as error:
        raise RankingError(f"{shown_as}: {error}") from error
