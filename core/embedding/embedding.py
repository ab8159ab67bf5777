"""An embedding: names, tensors and a formula; and its scores of a graph's triples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from proofrank.core.embedding.interactions import ENTITIES, INTERACTIONS, RELATIONS
from proofrank.core.embedding.pykeen_modules import PykeenFormula, make_module, shapes_of
from proofrank.core.embedding.pykeen_options import PYKEEN_INTERACTIONS
from proofrank.core.errors import EmbeddingError, did_you_mean, nearest_names, shown
from proofrank.core.formats.finite_numbers import is_finite_number
from proofrank.core.graph import Dataset, Triple

_MOST_NUMBERS_AT_ONCE = 1 << 22
"""Maximum number of numbers of one tensor's rows that are gathered at once; memory is a few times 8 bytes for each."""


MOST_CHECKS = 1024
"""Maximum number of scores that an embedding says what they must be."""

_CHECK_TOLERANCE = 1e-9
"""Maximum difference from such a score, relative to the largest: devices round differently."""

_LARGEST_WHOLE_NUMBER = (1 << 63) - 1
"""Largest whole number that torch computes with."""


class CheckedScore(NamedTuple):
    """A score that an embedding's file tells, for what computes it later to be compared with.

    Attributes:
        head: row of the head.
        relation: row of the relation.
        tail: row of the tail.
        score: of this triple.
    """

    head: int
    relation: int
    tail: int
    score: float


class TripleScorer(Protocol):
    """Scores triples of one graph by an embedding."""

    def check(self, triples: Sequence[Triple]) -> None:
        """Raises EmbeddingError if corruptions of ``triples`` may hold a name that has no score."""
        ...

    def scores(self, triples: np.ndarray) -> np.ndarray:
        """The score of each triple ``[N, 3]`` int64 (predicate, head, tail), ``[N]`` float64; higher is better.

        Raises:
            EmbeddingError: a name has no embedding, or a triple has no score; the text names it.
        """
        ...


class ScoreSource(Protocol):
    """Whatever scores triples by names: an embedding or a file of scores."""

    @property
    def name(self) -> str:
        """Name of the folder or file."""
        ...

    @property
    def content_hash(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        ...

    @property
    def kind(self) -> str:
        """Name of the interaction, or ``scores`` of a file of scores."""
        ...

    def scorer(self, dataset: Dataset, device: str | None = None) -> TripleScorer:
        """What scores the triples of ``dataset``.

        Args:
            dataset: the graph; its names are looked up by name.
            device: where to compute, as torch names it; CUDA where there is one by default.
        """
        ...


@dataclass(frozen=True, eq=False)
class Embedding:
    """A knowledge-graph embedding.

    Attributes:
        name: name of its folder.
        content_hash: SHA-256 of its files, in hexadecimal.
        interaction: name of the formula, one of ``INTERACTIONS`` or of ``PYKEEN_INTERACTIONS``.
        options: all options of the formula.
        tensors: name -> tensor of a floating dtype, on the CPU.
        entities: names of the rows of tensors of entities.
        relations: names of the rows of tensors of relations.
        notes: where it comes from, for a reader; no score depends on it.
        checks: scores that it must give, where a module of PyKEEN's computes them; none for other interactions.
    """

    name: str
    content_hash: str
    interaction: str
    options: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    notes: Mapping[str, Any]
    checks: tuple[CheckedScore, ...] = ()

    @property
    def kind(self) -> str:
        """Name of the interaction."""
        return self.interaction

    def scorer(self, dataset: Dataset, device: str | None = None) -> EmbeddingScorer:
        """See :class:`ScoreSource`.

        Raises:
            EmbeddingError: a constant of ``dataset`` has no embedding.
        """
        return EmbeddingScorer(self, dataset, device)


def make_embedding(
    *,
    name: str,
    content_hash: str,
    interaction: str,
    options: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    entities: Sequence[str],
    relations: Sequence[str],
    notes: Mapping[str, Any] | None = None,
    checks: Sequence[Sequence[Any]] = (),
) -> Embedding:
    """An embedding whose parts are checked; see :class:`Embedding`. Options that are missing take their defaults.

    Raises:
        EmbeddingError: the interaction or an option is unknown, a name is there twice, a tensor is missing, of another
            shape or not finite, a checked score is none, or PyKEEN computes the interaction and is not installed.
    """
    checked = _checked_options(interaction, options)
    shapes = _shapes(interaction, checked, tensors)
    for kind, names in (("entities", entities), ("relations", relations)):
        if not names or len(set(names)) != len(names):
            problem = "holds a name twice" if names else "is empty"
            raise EmbeddingError(f"{kind!r} {problem}; expected the name of each row, in order")
    return Embedding(
        name=name,
        content_hash=content_hash,
        interaction=interaction,
        options=checked,
        tensors=_checked_tensors(shapes, interaction, tensors, len(entities), len(relations)),
        entities=tuple(entities),
        relations=tuple(relations),
        notes=dict(notes or {}),
        checks=_checks(checks, (len(entities), len(relations), len(entities))),
    )


def _checks(checks: Sequence[Sequence[Any]], sizes: tuple[int, int, int]) -> tuple[CheckedScore, ...]:
    if len(checks) > MOST_CHECKS:
        raise EmbeddingError(f"'checks' has {len(checks)} scores; expected at most {MOST_CHECKS}")
    for check in checks:
        is_right = isinstance(check, (list, tuple)) and len(check) == 4
        if is_right:
            rows = zip(check[:3], sizes, strict=True)
            is_right = all(type(row) is int and 0 <= row < size for row, size in rows)
            is_right = is_right and is_finite_number(check[3])
        if not is_right:
            raise EmbeddingError(
                f"'checks' has {shown(check)}; expected the rows of head, relation and tail, and a finite score"
            )
    return tuple(CheckedScore(head, relation, tail, float(score)) for head, relation, tail, score in checks)


def _checked_options(interaction: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of an interaction. Raises EmbeddingError if one, or the interaction, is unknown."""
    if interaction in INTERACTIONS:
        own = INTERACTIONS[interaction].options
        checked = {name: default for name, (default, _, _) in own.items()}
        known = {name: (is_allowed, wanted) for name, (_, is_allowed, wanted) in own.items()}
    elif interaction in PYKEEN_INTERACTIONS:
        of_pykeen = PYKEEN_INTERACTIONS[interaction]
        checked, known = dict(of_pykeen.defaults), of_pykeen.options
    else:
        raise EmbeddingError(
            f"'interaction' is {shown(interaction)}; expected one of {', '.join(INTERACTIONS)}, or with PyKEEN one of "
            f"{', '.join(PYKEEN_INTERACTIONS)}"
        )
    for name, value in options.items():
        if name not in known:
            expected = ", ".join(known) or "none"
            raise EmbeddingError(f"option {shown(name)} of {interaction} is unknown; expected {expected}")
        is_allowed, wanted = known[name]
        if not is_allowed(value):
            raise EmbeddingError(f"option {name!r} of {interaction} is {shown(value)}; expected {wanted}")
        checked[name] = _for_torch(value)
    for name in known:
        if name not in checked:
            raise EmbeddingError(f"option {name!r} of {interaction} is missing; expected {known[name][1]}")
    return checked


def _for_torch(value: Any) -> Any:
    """An option's value, or values; as a float where torch has no whole number of its size."""
    if isinstance(value, list):
        return [_for_torch(item) for item in value]
    return float(value) if type(value) is int and abs(value) > _LARGEST_WHOLE_NUMBER else value


def _shapes(
    interaction: str, options: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Mapping[str, tuple[str | int, ...]]:
    """Name of each tensor that an interaction needs -> its dimensions."""
    if interaction not in INTERACTIONS:
        return shapes_of(make_module(interaction, options))
    known = INTERACTIONS[interaction]
    with_optional = any(name in tensors for name in known.optional)
    return {**known.shapes, **(known.optional if with_optional else {})}


def _checked_tensors(
    wanted: Mapping[str, tuple[str | int, ...]],
    interaction: str,
    tensors: Mapping[str, Tensor],
    num_entities: int,
    num_relations: int,
) -> dict[str, Tensor]:
    if tensors.keys() != wanted.keys():
        raise EmbeddingError(
            f"{interaction} has tensors {', '.join(sorted(tensors)) or 'none'}; expected {', '.join(sorted(wanted))}"
        )
    sizes: dict[str | int, int] = {ENTITIES: num_entities, RELATIONS: num_relations}
    for name, dimensions in wanted.items():
        tensor = tensors[name]
        if not tensor.dtype.is_floating_point:
            raise EmbeddingError(f"tensor {name!r} is {tensor.dtype}; expected a floating dtype")
        if tensor.ndim == len(dimensions):
            for dimension, size in zip(dimensions, tensor.shape, strict=True):
                if isinstance(dimension, str):
                    sizes.setdefault(dimension, size)
        expected = [sizes.get(dimension, dimension) for dimension in dimensions]
        if list(tensor.shape) != expected or 0 in tensor.shape:
            raise EmbeddingError(
                f"tensor {name!r} has shape {list(tensor.shape)}; expected [{', '.join(map(str, expected))}], "
                f"for {num_entities} entities and {num_relations} relations"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise EmbeddingError(f"tensor {name!r} holds values that are not finite")
    return {name: tensors[name].detach().cpu() for name in wanted}


class RowScorer:
    """Scores triples given as rows of an embedding, in float64.

    The weights are converted to float64. In the formulas of our own every operation is of a fixed order
    (:func:`proofrank.core.embedding.interactions.ordered_sum`); modules of PyKEEN's are given chunks of one size
    (:mod:`proofrank.core.embedding.pykeen_modules`). So a triple has the same score, bit for bit, whatever is scored
    beside it; entities with equal rows tie exactly.
    """

    def __init__(self, embedding: Embedding, device: str | None = None) -> None:
        """Brings the tensors to ``device``: CUDA where there is one, by default.

        Raises:
            EmbeddingError: PyKEEN computes the interaction, and refuses it, gives other scores than the embedding
                says, or scores that depend on the batch there.
        """
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._pykeen: PykeenFormula | None = None
        if embedding.interaction in PYKEEN_INTERACTIONS:
            sizes = len(embedding.entities), len(embedding.relations)
            self._pykeen = PykeenFormula(
                embedding.interaction, embedding.options, embedding.tensors, sizes, self._device
            )
            self._check(embedding)
            return
        self._name = f"{embedding.interaction} {embedding.name!r}"
        self._entities, self._relations = embedding.entities, embedding.relations
        self._interaction = INTERACTIONS[embedding.interaction]
        self._options = embedding.options
        tensors: Mapping[str, Tensor] = {
            name: tensor.to(torch.float64) for name, tensor in embedding.tensors.items()
        }
        if self._interaction.prepare is not None:
            tensors = self._interaction.prepare(tensors)
        self._tensors = {name: tensor.to(self._device) for name, tensor in tensors.items()}

    def _check(self, embedding: Embedding) -> None:
        """Raises EmbeddingError if a score is not what the embedding says: another PyKEEN may compute another."""
        if not embedding.checks:
            return
        *rows, expected = (np.array(column) for column in zip(*embedding.checks, strict=True))
        difference = float(np.abs(self.scores(*rows) - expected).max())
        if not difference <= _CHECK_TOLERANCE * max(1.0, float(np.abs(expected).max())):
            saved_by = embedding.notes.get("pykeen")
            raise EmbeddingError(
                f"PyKEEN's {embedding.interaction} gives scores that differ from those of the embedding's 'checks' by "
                f"up to {difference:.3g}; expected the PyKEEN that saved it"
                + (f", {shown(saved_by)}" if saved_by else "")
            )

    def scores(self, heads: np.ndarray, relations: np.ndarray, tails: np.ndarray) -> np.ndarray:
        """The score of each triple, ``[N]`` float64, given the rows of its parts, ``[N]`` int64 each.

        Raises:
            EmbeddingError: a score is not finite; names the triple, if a formula of our own gives it.
        """
        rows = [torch.from_numpy(column).to(self._device) for column in (heads, relations, tails)]
        if self._pykeen is not None:
            return self._pykeen.scores(*rows).cpu().numpy()
        widest = max(math.prod(tensor.shape[1:]) for tensor in self._tensors.values())
        number = max(1, _MOST_NUMBERS_AT_ONCE // widest)
        parts = [
            self._scores(*(column[start : start + number] for column in rows))
            for start in range(0, len(heads), number)
        ]
        found = torch.cat(parts).cpu().numpy() if parts else np.zeros(0, dtype=np.float64)
        if (bad := np.flatnonzero(~np.isfinite(found))).size:
            first = bad[0]
            raise EmbeddingError(
                f"{self._name} gives {self._relations[relations[first]]}({self._entities[heads[first]]},"
                f"{self._entities[tails[first]]}) the score {found[first]} ({len(bad)} of {len(found)} triples that "
                "are scored together); expected finite scores, which smaller weights give"
            )
        return found

    def _scores(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._interaction.score(
                self._taken("entity", heads),
                self._taken("relation", relations),
                self._taken("entity", tails),
                self._tensors,
                self._options,
            )

    def _taken(self, prefix: str, rows: Tensor) -> dict[str, Tensor]:
        return {name: tensor[rows] for name, tensor in self._tensors.items() if name.startswith(prefix)}


class EmbeddingScorer:
    """Scores the triples of one graph by an embedding."""

    def __init__(self, embedding: Embedding, dataset: Dataset, device: str | None = None) -> None:
        """Looks up the names of ``dataset`` by name, and brings the tensors to ``device``.

        Raises:
            EmbeddingError: a constant has no embedding.
        """
        self._embedding = embedding
        self._dataset = dataset
        constants, predicates = dataset.vocabulary.constants, dataset.vocabulary.predicates
        self._entity_rows = _rows_of(constants, embedding.entities)
        self._relation_rows = _rows_of(predicates, embedding.relations)
        missing = [constants[index] for index in np.flatnonzero(self._entity_rows[1:] < 0).tolist()]
        if missing:
            raise self._unknown("constant", missing, embedding.entities)
        self._by_row = RowScorer(embedding, device)

    def check(self, triples: Sequence[Triple]) -> None:
        """See :class:`TripleScorer`."""
        self._check_predicates(np.array([triple.predicate for triple in triples], dtype=np.int64))

    def scores(self, triples: np.ndarray) -> np.ndarray:
        """See :class:`TripleScorer`."""
        self._check_predicates(triples[:, 0])
        return self._by_row.scores(
            self._entity_rows[triples[:, 1]],
            self._relation_rows[triples[:, 0]],
            self._entity_rows[triples[:, 2]],
        )

    def _check_predicates(self, predicates: np.ndarray) -> None:
        missing = np.unique(predicates[self._relation_rows[predicates] < 0])
        if len(missing):
            names = [self._dataset.vocabulary.predicate_name(int(index)) for index in missing]
            raise self._unknown("predicate", names, self._embedding.relations)

    def _unknown(self, kind: str, names: Sequence[str], known: Sequence[str]) -> EmbeddingError:
        """The error for names that have no embedding."""
        listed = ", ".join(repr(name) for name in names[:3]) + ", …" * (len(names) > 3)
        near = did_you_mean(nearest_names(names[0], known), names[0])
        return EmbeddingError(
            f"embedding {self._embedding.name!r} has no {kind} {listed} ({len(names)} of dataset "
            f"{self._dataset.name!r}){near}"
        )


def _rows_of(names: Sequence[str], rows: Sequence[str]) -> np.ndarray:
    """``[1 + len(names)]`` int64: the row of the name of each index, of which 0 is padding; -1 where it has none."""
    row_of = {name: row for row, name in enumerate(rows)}
    return np.array([-1, *(row_of.get(name, -1) for name in names)], dtype=np.int64)
