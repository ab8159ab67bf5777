"""Files of scores, ``predicate(head,tail)<TAB>score`` a line: whatever computed them, each triple has its number."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proofrank.core.errors import DatasetError, EmbeddingError
from proofrank.core.formats.atoms import NamedAtom, parse_atom
from proofrank.core.formats.text import NUMBER, read_lines
from proofrank.core.graph import Dataset, Triple

LINE_FORM = "'predicate(head,tail)<TAB>score'"
_SCORE = re.compile(NUMBER)


@dataclass(frozen=True, eq=False)
class ScoreFile:
    """The scores of triples, by names.

    Attributes:
        name: name of the file.
        content_hash: SHA-256 of the file, in hexadecimal.
        scores: the score of each triple.
    """

    name: str
    content_hash: str
    scores: Mapping[NamedAtom, float]

    kind = "scores"

    def scorer(self, dataset: Dataset, device: str | None = None) -> ScoreFileScorer:
        """See :class:`proofrank.core.embedding.embedding.ScoreSource`; lines with names that ``dataset`` does not have
        are left out.
        """
        return ScoreFileScorer(self, dataset)


def read_score_file(path: Path) -> ScoreFile:
    """Reads a file of scores, perhaps compressed (``.gz``).

    Raises:
        EmbeddingError: the file cannot be read, a line is of another form, a score is not finite, or a triple has two
            scores; names the line.
    """
    scores: dict[NamedAtom, float] = {}
    try:
        for line in read_lines(path):
            atom_text, tab, score_text = line.text.rpartition("\t")
            score_text = score_text.strip()
            if not tab or _SCORE.fullmatch(score_text) is None or not math.isfinite(float(score_text)):
                raise line.error("no finite score behind a tab", LINE_FORM)
            atom, score = parse_atom(atom_text, line), float(score_text)
            if scores.setdefault(atom, score) != score:
                raise line.error(f"a second score of {atom}, {scores[atom]!r} before", "one for each triple")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except DatasetError as error:
        raise EmbeddingError(f"{error}") from error
    if not scores:
        raise EmbeddingError(f"{path}: no line with a score; expected {LINE_FORM}")
    return ScoreFile(path.name, digest, scores)


class ScoreFileScorer:
    """Looks up the scores of a graph's triples."""

    def __init__(self, scores: ScoreFile, dataset: Dataset) -> None:
        """Sorts the scores of those triples whose names ``dataset`` has."""
        self._name = scores.name
        self._dataset = dataset
        self._base = dataset.vocabulary.num_constants + 1
        predicates = {name: index for index, name in enumerate(dataset.vocabulary.predicates, start=1)}
        constants = {name: index for index, name in enumerate(dataset.vocabulary.constants, start=1)}
        known = [
            (predicates[atom.predicate], constants[atom.first], constants[atom.second], score)
            for atom, score in scores.scores.items()
            if atom.predicate in predicates and atom.first in constants and atom.second in constants
        ]
        keys = self._keys(np.array([row[:3] for row in known], dtype=np.int64).reshape(-1, 3))
        order = np.argsort(keys)
        self._known = keys[order]
        self._scores = np.array([row[3] for row in known], dtype=np.float64)[order]

    def _keys(self, triples: np.ndarray) -> np.ndarray:
        return (triples[:, 0] * self._base + triples[:, 1]) * self._base + triples[:, 2]

    def check(self, triples: Sequence[Triple]) -> None:
        """See :class:`proofrank.core.embedding.embedding.TripleScorer`; the triples themselves have a score."""
        self.scores(np.array(triples, dtype=np.int64).reshape(-1, 3))

    def scores(self, triples: np.ndarray) -> np.ndarray:
        """See :class:`proofrank.core.embedding.embedding.TripleScorer`."""
        keys = self._keys(triples)
        places = np.searchsorted(self._known, keys)
        is_there = places < len(self._known)
        is_there[is_there] = self._known[places[is_there]] == keys[is_there]
        if not is_there.all():
            missing = Triple._make(triples[np.flatnonzero(~is_there)[0]].tolist())
            head, relation, tail = self._dataset.names(missing)
            raise EmbeddingError(
                f"{self._name} has no score of {NamedAtom(relation, head, tail)} "
                f"({np.count_nonzero(~is_there)} of {len(keys)} triples that are scored together); expected one for "
                "each triple and each of its corruptions"
            )
        return self._scores[places]
