"""The formulas by which embeddings score a triple, each in float64 and in a fixed order of additions.

A higher score means a more plausible triple. The names are PyKEEN's, and so are the formulas, but for what an option
says. Rows of tensors that are named ``entity…`` belong to entities, those of ``relation…`` to relations; others belong
to the whole embedding.

==========  ======================================================================  ================================
name        score of (h, r, t)                                                      tensors
==========  ======================================================================  ================================
TransE      -norm(h + r - t)                                                        entity, relation
DistMult    sum(h r t)                                                              entity, relation
ComplEx     real part of sum(h r conj(t))                                           entity, relation (``_real``,
                                                                                    ``_imag``)
RotatE      margin - norm(h r - t), of complex numbers                              the same
TuckER      sum over i, j, k of core[i, j, k] h'[i] r[j] t[k]                       entity, relation, core
RESCAL      sum over i, k of h[i] r[i, k] t[k]                                      entity, relation (matrices)
CP          sum(h r t), with an entity's first vector as head, its second as tail   entity_head, entity_tail,
                                                                                    relation
PairRE      -norm(h r1 - t r2)                                                      entity, relation_head,
                                                                                    relation_tail
==========  ======================================================================  ================================

In TuckER, ``head_scale``, ``head_shift``, ``hidden_scale`` and ``hidden_shift`` are what a trained batch normalisation
does to the head, and to the product of head and relation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from proofrank.core.formats.finite_numbers import is_finite_number

Rows = Mapping[str, Tensor]
"""Name of a tensor -> its rows for the triples to score, ``[n, ...]`` float64; or the whole tensor if it is shared."""

Options = Mapping[str, Any]

ENTITIES, RELATIONS = "entities", "relations"
"""First dimension of a tensor with a row for each entity, or for each relation."""

NORMS = ("euclidean", "moduli", "parts")
"""Norms of a vector of complex numbers: the square root of the sum of squared moduli; the sum of the moduli; and the
sum of the absolute values of real and imaginary parts."""


def ordered_sum(values: Tensor) -> Tensor:
    """The sum over the last dimension, which has the same bits on every device and in every batch.

    A library's sum adds in an order that depends on shapes, threads and device. Here the second half is added to the
    first, again and again: each addition stands alone, so nothing is left to choose.
    """
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        paired = values[..., :half] + values[..., half : 2 * half]
        values = paired if values.shape[-1] == 2 * half else torch.cat([paired, values[..., -1:]], -1)
    return values[..., 0]


def _negative_norm(vector: Tensor, options: Options) -> Tensor:
    """-norm, or -norm to the power p (``power_norm``); p is 1 or 2."""
    if options["p"] == 1:
        return -ordered_sum(vector.abs())
    squared = ordered_sum(vector * vector)
    return -squared if options["power_norm"] else -squared.sqrt()


def _transe(h: Rows, r: Rows, t: Rows, shared: Rows, options: Options) -> Tensor:
    return _negative_norm(h["entity"] + r["relation"] - t["entity"], options)


def _distmult(h: Rows, r: Rows, t: Rows, shared: Rows, options: Options) -> Tensor:
    return ordered_sum(h["entity"] * r["relation"] * t["entity"])


def _rotated(h: Rows, r: Rows) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts of h r."""
    real, imag = h["entity_real"], h["entity_imag"]
    return (
        real * r["relation_real"] - imag * r["relation_imag"],
        real * r["relation_imag"] + imag * r["relation_real"],
    )


def _complex(h: Rows, r: Rows, t: Rows, shared: Rows, options: Options) -> Tensor:
    real, imag = _rotated(h, r)
    return ordered_sum(real * t["entity_real"] + imag * t["entity_imag"])


def _rotate(h: Rows, r: Rows, t: Rows, shared: Rows, options: Options) -> Tensor:
    rotated_real, rotated_imag = _rotated(h, r)
    real, imag = rotated_real - t["entity_real"], rotated_imag - t["entity_imag"]
    if options["norm"] == "parts":
        distance = ordered_sum(real.abs() + imag.abs())
    elif options["norm"] == "moduli":
        distance = ordered_sum((real * real + imag * imag + options["epsilon"]).sqrt())
    else:
        distance = ordered_sum(real * real + imag * imag).sqrt()
    return options["margin"] - distance


def _bilinear(head: Tensor, matrix: Tensor) -> Tensor:
    """``[n, e]``, the product of each ``[d]`` of ``head`` and ``[d, e]`` of ``matrix``."""
    return ordered_sum((head[:, :, None] * matrix).transpose(1, 2))


def _rescal(h: Rows, r: Rows, t: Rows, shared: Rows, options: Options) -> Tensor:
    return ordered_sum(_bilinear(h["entity"], r["relation"]) * t["entity"])


def _tucker(h: Rows, r: Rows, t: Rows, shared: Rows, options: Options) -> Tensor:
    head = h["entity"]
    if "head_scale" in shared:
        head = head * shared["head_scale"] + shared["head_shift"]
    hidden = _bilinear(head, r["relation_matrix"])
    if "hidden_scale" in shared:
        hidden = hidden * shared["hidden_scale"] + shared["hidden_shift"]
    return ordered_sum(hidden * t["entity"])


def _tucker_matrices(tensors: Rows) -> dict[str, Tensor]:
    """The core contracted with each relation, once for all triples."""
    others = {name: tensor for name, tensor in tensors.items() if name not in ("core", "relation")}
    return others | {"relation_matrix": torch.einsum("rj,ijk->rik", tensors["relation"], tensors["core"])}


def _cp(h: Rows, r: Rows, t: Rows, shared: Rows, options: Options) -> Tensor:
    return ordered_sum(h["entity_head"] * r["relation"] * t["entity_tail"])


def _pairre(h: Rows, r: Rows, t: Rows, shared: Rows, options: Options) -> Tensor:
    return _negative_norm(h["entity"] * r["relation_head"] - t["entity"] * r["relation_tail"], options)


@dataclass(frozen=True)
class Interaction:
    """A formula, the tensors that it needs, and its options.

    Attributes:
        score: the scores ``[n]`` float64 of n triples, given the rows of heads, relations and tails, the shared
            tensors, and all options.
        shapes: name of a tensor -> its dimensions: ``entities``, ``relations``, or a letter that is any size, the same
            in every tensor.
        optional: the same for tensors that may be missing, all together.
        options: name of an option -> its default and what it may be.
        prepare: makes the tensors that ``score`` takes of those of the file.
    """

    score: Callable[[Rows, Rows, Rows, Rows, Options], Tensor]
    shapes: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, tuple[Any, Callable[[Any], bool], str]] = field(default_factory=dict)
    prepare: Callable[[Rows], Mapping[str, Tensor]] | None = None


_NORM_OPTIONS = {
    "p": (2, lambda value: type(value) is int and value in (1, 2), "1 or 2"),
    "power_norm": (False, lambda value: isinstance(value, bool), "true or false"),
}
_ROTATE_OPTIONS = {
    "norm": ("euclidean", lambda value: value in NORMS, f"one of {', '.join(NORMS)}"),
    "margin": (0.0, is_finite_number, "a finite number"),
    "epsilon": (0.0, lambda value: is_finite_number(value) and value >= 0, "a finite number of 0 or more"),
}
_VECTORS = {"entity": (ENTITIES, "d"), "relation": (RELATIONS, "d")}
_COMPLEX = {
    **{f"entity_{part}": (ENTITIES, "d") for part in ("real", "imag")},
    **{f"relation_{part}": (RELATIONS, "d") for part in ("real", "imag")},
}
_NORMALISATION = {f"{place}_{what}": ("d",) for place in ("head", "hidden") for what in ("scale", "shift")}

INTERACTIONS: dict[str, Interaction] = {
    "TransE": Interaction(_transe, _VECTORS, options=_NORM_OPTIONS),
    "DistMult": Interaction(_distmult, _VECTORS),
    "ComplEx": Interaction(_complex, _COMPLEX),
    "RotatE": Interaction(_rotate, _COMPLEX, options=_ROTATE_OPTIONS),
    "TuckER": Interaction(
        _tucker,
        {"entity": (ENTITIES, "d"), "relation": (RELATIONS, "e"), "core": ("d", "e", "d")},
        optional=_NORMALISATION,
        prepare=_tucker_matrices,
    ),
    "RESCAL": Interaction(_rescal, {"entity": (ENTITIES, "d"), "relation": (RELATIONS, "d", "d")}),
    "CP": Interaction(
        _cp, {"entity_head": (ENTITIES, "d"), "entity_tail": (ENTITIES, "d"), "relation": (RELATIONS, "d")}
    ),
    "PairRE": Interaction(
        _pairre,
        {"entity": (ENTITIES, "d"), "relation_head": (RELATIONS, "d"), "relation_tail": (RELATIONS, "d")},
        options=_NORM_OPTIONS,
    ),
}
"""Name of an interaction, as PyKEEN writes it -> the interaction."""
