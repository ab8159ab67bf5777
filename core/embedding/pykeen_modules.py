"""Scores triples by PyKEEN's own modules; the one place of ``core`` that imports PyKEEN, and only when it is needed.

A module is PyKEEN's class of a name in :data:`PYKEEN_INTERACTIONS`. Its tensors come from the embedding's file: the
rows of entities are ``entity.0``, ``entity.1`` and so on, those of relations ``relation.0`` and so on, and the module's
own parameters ``interaction.`` and PyKEEN's name of them. Everything is computed in float64, in evaluation mode.

A library's sums depend on the shapes that it is given. So triples are scored in chunks of one size, the last of which
is padded. Mostly a triple's score then depends neither on its place in a chunk nor on the others there, but nobody
promises it. So it is tried out when an embedding is brought to a device, and the largest size at which it holds is
taken; in the end each triple is scored alone. An embedding for which even that does not hold is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proofrank.core.embedding.interactions import ENTITIES, RELATIONS
from proofrank.core.embedding.pykeen_options import CLAMP, PYKEEN_INTERACTIONS
from proofrank.core.errors import EmbeddingError

_SIZES = (256, 64, 16, 4, 1)
"""Numbers of triples in a chunk, in the order in which they are tried."""

_MOST_NUMBERS_AT_ONCE = 1 << 18
"""Maximum number of numbers of the widest tensor that a chunk needs."""

_NUM_TRIED = 256
_NUM_ORDERS = 8
_NUM_ALONE = 8
"""Number of triples by which a size is tried, of their orders, and of those scored alone."""

_COUNTER = "num_batches_tracked"
"""Last part of the name of a buffer of batch normalisations that counts, and matters to no score."""

Score = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Scores ``[n]`` float64 of the rows ``[n]`` int64 of heads, relations and tails."""


def make_module(interaction: str, options: Mapping[str, Any]) -> Any:
    """PyKEEN's module of an interaction, without any numbers: its parameters are on torch's meta device.

    Args:
        interaction: one of ``PYKEEN_INTERACTIONS``.
        options: all of its options, checked one by one.

    Raises:
        EmbeddingError: PyKEEN is not installed, or refuses the options together.
    """
    arguments = PYKEEN_INTERACTIONS[interaction].arguments(options)
    try:
        from pykeen.nn import modules, quaternion
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise EmbeddingError(
            f"interaction {interaction!r} is computed by PyKEEN and needs {library}: pip install 'proofrank[pykeen]'"
        ) from error
    made = getattr(modules, f"{interaction}Interaction", None)
    if made is None:
        raise EmbeddingError(
            f"the installed PyKEEN has no interaction {interaction!r}; expected pykeen>=1.11"
        )
    # PyKEEN keeps this table once it is made, for every QuatE of the process: made below, it would have no numbers.
    with torch.inference_mode(False):
        quaternion.multiplication_table()
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of torch, about the speed of transformers and layers without numbers
            return made(**arguments).eval().requires_grad_(False)
    except (RuntimeError, ValueError, TypeError, AssertionError, ArithmeticError) as error:
        raise EmbeddingError(f"PyKEEN refuses the options of {interaction}: {error}") from error


def shapes_of(module: Any) -> Mapping[str, tuple[str | int, ...]]:
    """Name of each tensor that a module needs -> its dimensions.

    A dimension is ``entities``, ``relations``, a number, or a letter that is any size, the same in every tensor.
    """
    own = {
        f"interaction.{name}": tuple(tensor.shape)
        for name, tensor in module.state_dict().items()
        if not name.endswith(_COUNTER)
    }
    return (
        {f"entity.{place}": (ENTITIES, *shape) for place, shape in enumerate(module.entity_shape)}
        | {f"relation.{place}": (RELATIONS, *shape) for place, shape in enumerate(module.relation_shape)}
        | own
    )


class PykeenFormula:
    """Scores triples by a module of PyKEEN's, given rows of its tensors.

    Attributes:
        rows: number of triples in a chunk.
    """

    def __init__(
        self,
        interaction: str,
        options: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        sizes: tuple[int, int],
        device: torch.device,
    ) -> None:
        """Brings the tensors to ``device`` and tries the module out there.

        Args:
            interaction: one of ``PYKEEN_INTERACTIONS``.
            options: all of its options.
            tensors: those of :func:`shapes_of`.
            sizes: number of entities and of relations.
            device: where to compute.

        Raises:
            EmbeddingError: PyKEEN is not installed, refuses the tensors, gives scores that are not finite, or a triple
                other bits beside others than alone, whatever the size of a chunk.
        """
        self._made_of = (interaction, options, tensors, sizes, device)
        self._interaction = interaction
        self._clamp = options.get(CLAMP)
        self._module = make_module(interaction, options)
        self._module.load_state_dict(_state(self._module, tensors), assign=True)
        self._module.to(device)
        placed = {name: tensor.to(device, torch.float64) for name, tensor in tensors.items()}
        entities = [placed[f"entity.{place}"] for place in range(len(self._module.entity_shape))]
        self._heads = [entities[place] for place in self._module.head_indices]
        self._tails = [entities[place] for place in self._module.tail_indices]
        self._relations = [placed[f"relation.{place}"] for place in range(len(self._module.relation_shape))]
        self.rows = self._chosen_rows(_most_rows(tensors), sizes, device)

    def __reduce__(self) -> tuple[Any, ...]:
        """How a copy is made for another process: it is tried out anew, for the other machine may compute otherwise."""
        return PykeenFormula, self._made_of

    def _chosen_rows(self, most: int, sizes: tuple[int, int], device: torch.device) -> int:
        """The largest size of a chunk at which no score depends on its place or company."""
        generator = np.random.default_rng(0)
        drawn = [generator.integers(0, number, _NUM_TRIED) for number in (sizes[0], sizes[1], sizes[0])]
        columns = [torch.from_numpy(column).to(device) for column in drawn]
        difference = 0.0
        for rows in _SIZES:
            if rows > most:
                continue
            difference = largest_difference(lambda *parts, rows=rows: self._in_chunks(parts, rows), columns)
            if difference == 0:
                return rows
        raise EmbeddingError(
            f"PyKEEN's {self._interaction} gives a triple another score each time on {device.type} (by up to "
            f"{difference:.3g}), so that equal entities might not tie; expected a device whose scores are reproducible"
        )

    def scores(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """The score of each triple, ``[N]`` float64, given the rows of its parts, ``[N]`` int64 each, on the device.

        Raises:
            EmbeddingError: a score is not finite.
        """
        found = self._in_chunks((heads, relations, tails), self.rows)
        return found if self._clamp is None else found.clamp(*self._clamp)

    def _in_chunks(self, columns: Sequence[Tensor], rows: int) -> Tensor:
        found = torch.empty(len(columns[0]), dtype=torch.float64, device=columns[0].device)
        for start in range(0, len(found), rows):
            parts = [column[start : start + rows] for column in columns]
            number = len(parts[0])
            padded = [torch.nn.functional.pad(part, (0, rows - number)) for part in parts]
            found[start : start + number] = self._chunk(*padded)[:number]
        if not bool(torch.isfinite(found).all()):
            raise EmbeddingError(f"PyKEEN's {self._interaction} gives a score that is not finite")
        return found

    def _chunk(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """The scores of as many triples as a chunk has."""
        try:
            with torch.inference_mode():
                return self._module.score_hrt(
                    h=_taken(self._heads, heads),
                    r=_taken(self._relations, relations),
                    t=_taken(self._tails, tails),
                ).reshape(heads.shape)
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            raise EmbeddingError(f"PyKEEN's {self._interaction} refuses the tensors: {error}") from error


def largest_difference(score: Score, columns: Sequence[Tensor]) -> float:
    """The largest difference between two scores of a triple, scored in other orders and alone; 0 for the same numbers.

    Args:
        score: scores any number of triples.
        columns: heads, relations and tails of triples, ``[n]`` int64 each.
    """
    together = score(*columns)
    generator = np.random.default_rng(1)
    orders = [generator.permutation(len(together)) for _ in range(_NUM_ORDERS)]
    alone = [orders[0][place : place + 1] for place in range(min(_NUM_ALONE, len(together)))]
    differences = []
    for taken in (*orders, *alone):
        rows = torch.from_numpy(taken).to(together.device)
        again = score(*(column[rows] for column in columns))
        differences.append((again - together[rows]).abs().max())
    return float(torch.stack(differences).max())


def _state(module: Any, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The module's own tensors, in float64."""
    return {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith(_COUNTER)
        else tensors[f"interaction.{name}"].to(torch.float64)
        for name in module.state_dict()
    }


def _taken(tensors: Sequence[Tensor], rows: Tensor) -> Any:
    """The rows of each tensor, or of the only one, as PyKEEN's interactions take them."""
    taken = [tensor[rows] for tensor in tensors]
    return taken[0] if len(taken) == 1 else tuple(taken)


def _most_rows(tensors: Mapping[str, Tensor]) -> int:
    """The most triples that a chunk may have.

    What a module computes for one triple on the way is about as large as its rows, or as what one of its parameters
    maps to or from.
    """
    widest = 1
    for name, tensor in tensors.items():
        is_shared = name.startswith("interaction.")
        width = tensor.numel() // max(1, min(tensor.shape, default=1)) if is_shared else tensor[0].numel()
        widest = max(widest, width)
    return max(1, _MOST_NUMBERS_AT_ONCE // widest)
