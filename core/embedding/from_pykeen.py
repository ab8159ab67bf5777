"""Saves a PyKEEN model as an embedding, in the process that has the model.

What is saved are the rows that the model's representations give, after whatever normalises or constrains them, and the
parameters of its interaction. Where there is a formula of our own, they are brought into its form; else they are saved
as PyKEEN's module takes them, with the module's keyword arguments. The saved embedding then scores triples beside the
model, and both must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proofrank.core.embedding.embedding import CheckedScore, Embedding, RowScorer, make_embedding
from proofrank.core.embedding.folder import write_folder
from proofrank.core.embedding.pykeen_options import CLAMP, PYKEEN_INTERACTIONS
from proofrank.core.errors import EmbeddingError, shown

_NUM_CHECKED = 512
"""Number of triples that are scored by both, to check that the scores agree."""

_NUM_KEPT = 32
"""Number of these whose scores are saved, where a module of PyKEEN's computes them."""

_TOLERANCE = 1e-4
"""Maximum difference of the two scores of a triple, relative to the largest: PyKEEN computes in float32."""


def save_embedding(
    model: Any,
    triples_factory: Any,
    folder: Path | str,
    *,
    notes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Embedding:
    """Writes a trained PyKEEN model as an embedding's folder, and returns the embedding.

    Args:
        model: a PyKEEN model of an interaction that PyKEEN's ``interaction_resolver`` makes, on any device.
        triples_factory: the factory that it was trained with; it gives the names of entities and relations.
        folder: folder to write to.
        notes: where the model comes from, as JSON; not read again.
        overwrite: whether to replace an embedding in ``folder``.

    Raises:
        EmbeddingError: the interaction is not one of those, the model was trained with inverse triples, it has another
            number of entities or relations than the factory, the factory has no names, its scores are not those of what
            was saved, or depend on the batch, or ``folder`` holds an embedding or cannot be written.
    """
    _check_model(model)
    if getattr(model, "use_inverse_triples", False) or getattr(
        triples_factory, "create_inverse_triples", False
    ):
        raise EmbeddingError(
            "the model was trained with inverse triples, so PyKEEN scores a head by another relation than a tail; "
            "expected create_inverse_triples=False, with which a triple has one score"
        )
    module, clamp = _unwrapped(getattr(model, "interaction", model))
    interaction = type(module).__name__.removesuffix("Interaction")
    if interaction not in _CONVERTERS and interaction not in PYKEEN_INTERACTIONS:
        raise EmbeddingError(
            f"interaction {shown(interaction)} of {type(model).__name__}; expected one of "
            f"{', '.join((*_CONVERTERS, *PYKEEN_INTERACTIONS))}"
        )
    convert = _CONVERTERS.get(interaction, _as_it_is)
    entities, relations = (_names(triples_factory, what) for what in ("entity", "relation"))
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            of_entities = _rows(model.entity_representations, len(entities), "entities")
            of_relations = _rows(model.relation_representations, len(relations), "relations")
            tensors, options = convert(module, of_entities, of_relations)
            options |= {} if clamp is None else {CLAMP: clamp}
            parts = {"tensors": tensors, "options": options, "entities": entities, "relations": relations}
            checked = make_embedding(name="", content_hash="", interaction=interaction, **parts)
            checks = _check_scores(model, checked)
    finally:
        model.train(was_training)
    of_pykeen = {"pykeen": version("pykeen")} if interaction in PYKEEN_INTERACTIONS else {}
    return write_folder(
        Path(folder),
        interaction=interaction,
        notes={"of": f"PyKEEN's {type(model).__name__}", **of_pykeen, **(notes or {})},
        overwrite=overwrite,
        checks=checks if of_pykeen else (),
        **parts,
    )


def _check_model(model: Any) -> None:
    """Raises EmbeddingError for what is no model, such as the result of a pipeline."""
    if not isinstance(model, torch.nn.Module):
        raise EmbeddingError(
            f"model is a {type(model).__name__}; expected a PyKEEN model, such as result.model of a pipeline"
        )


def _unwrapped(interaction: Any) -> tuple[Any, list[float | None] | None]:
    """The interaction within PyKEEN's adapter that clamps scores, and its bounds, if any. Raises EmbeddingError."""
    if type(interaction).__name__ != "ClampedInteraction":
        return interaction, None
    base, clamp = interaction.base, interaction.clamp_score
    name = type(base).__name__.removesuffix("Interaction")
    if clamp is None:
        return base, None
    if name not in PYKEEN_INTERACTIONS or CLAMP not in PYKEEN_INTERACTIONS[name].options:
        raise EmbeddingError(
            f"the model's scores are clamped to {clamp}; expected clamp_score=None, or SimplE, which its authors clamp"
        )
    return base, list(clamp)


def _names(triples_factory: Any, what: str) -> list[str]:
    """The names of entities or relations in the order of their ids.

    Raises:
        EmbeddingError: the factory has no names, or its ids are not 0, 1 and so on.
    """
    ids: Mapping[str, int] | None = getattr(triples_factory, f"{what}_to_id", None)
    if ids is None:
        raise EmbeddingError(
            f"the triples factory is a {type(triples_factory).__name__}, which has no {what}_to_id; expected a "
            "TriplesFactory, which knows the names, such as result.training of a pipeline"
        )
    if not all(isinstance(name, str) for name in ids):
        odd = next(name for name in ids if not isinstance(name, str))
        raise EmbeddingError(f"{what}_to_id has the name {odd!r}, a {type(odd).__name__}; expected strings")
    if sorted(ids.values()) != list(range(len(ids))):
        raise EmbeddingError(
            f"{what}_to_id has ids from {min(ids.values(), default=0)} to {max(ids.values(), default=0)} for "
            f"{len(ids)} names; expected each of 0 to {len(ids) - 1} once"
        )
    return sorted(ids, key=lambda name: ids[name])


def _rows(representations: Sequence[Any], number: int, what: str) -> list[Tensor]:
    """The rows of each representation, on the CPU."""
    found = [representation(indices=None).detach().cpu() for representation in representations]
    for rows in found:
        if len(rows) != number:
            raise EmbeddingError(
                f"the model has {len(rows)} {what}, the triples factory {number}; expected the same"
            )
    return found


def _check_scores(model: Any, embedding: Embedding) -> list[CheckedScore]:
    """The embedding's scores of the first of the triples that both score. Raises EmbeddingError if they differ."""
    generator = np.random.default_rng(0)
    heads, tails = generator.integers(0, len(embedding.entities), (2, _NUM_CHECKED))
    relations = generator.integers(0, len(embedding.relations), _NUM_CHECKED)
    batch = torch.from_numpy(np.stack([heads, relations, tails], axis=1)).to(next(model.parameters()).device)
    theirs = model.score_hrt(batch).reshape(-1).double().cpu().numpy()
    ours = RowScorer(embedding, "cpu").scores(heads, relations, tails)
    difference = float(np.abs(theirs - ours).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(theirs).max())):
        raise EmbeddingError(
            f"the model's scores differ from those of what is saved, {embedding.interaction}, by up to "
            f"{difference:.3g}; expected a model of that interaction without changes"
        )
    columns = (column[:_NUM_KEPT].tolist() for column in (heads, relations, tails, ours))
    return [CheckedScore(*check) for check in zip(*columns, strict=True)]


Converted = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and options of an interaction."""


def _vectors(interaction: Any, entities: list[Tensor], relations: list[Tensor]) -> Converted:
    return {"entity": entities[0], "relation": relations[0]}, {}


def _norm_options(interaction: Any) -> dict[str, Any]:
    return {"p": int(interaction.p), "power_norm": bool(interaction.power_norm)}


def _transe(interaction: Any, entities: list[Tensor], relations: list[Tensor]) -> Converted:
    return {"entity": entities[0], "relation": relations[0]}, _norm_options(interaction)


def _complex(interaction: Any, entities: list[Tensor], relations: list[Tensor]) -> Converted:
    return {
        "entity_real": entities[0].real,
        "entity_imag": entities[0].imag,
        "relation_real": relations[0].real,
        "relation_imag": relations[0].imag,
    }, {}


def _tucker(interaction: Any, entities: list[Tensor], relations: list[Tensor]) -> Converted:
    tensors = {
        "entity": entities[0],
        "relation": relations[0],
        "core": interaction.core_tensor.detach().cpu(),
    }
    if interaction.head_batch_norm is not None:
        tensors |= _normalisation("head", interaction.head_batch_norm)
        tensors |= _normalisation("hidden", interaction.head_relation_batch_norm)
    return tensors, {}


def _normalisation(place: str, layer: Any) -> dict[str, Tensor]:
    """What a batch normalisation does in evaluation: a factor and a summand."""
    weight, bias, mean, variance = (
        tensor.detach().cpu().double()
        for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    )
    scale = weight / (variance + layer.eps).sqrt()
    return {f"{place}_scale": scale, f"{place}_shift": bias - mean * scale}


def _cp(interaction: Any, entities: list[Tensor], relations: list[Tensor]) -> Converted:
    return {
        "entity_head": entities[0].flatten(1),
        "entity_tail": entities[1].flatten(1),
        "relation": relations[0].flatten(1),
    }, {}


def _pairre(interaction: Any, entities: list[Tensor], relations: list[Tensor]) -> Converted:
    tensors = {"entity": entities[0], "relation_head": relations[0], "relation_tail": relations[1]}
    return tensors, _norm_options(interaction)


def _as_it_is(interaction: Any, entities: list[Tensor], relations: list[Tensor]) -> Converted:
    """The tensors and keyword arguments of a module of PyKEEN's."""
    own = interaction.state_dict().items()
    tensors = {f"entity.{place}": rows for place, rows in enumerate(entities)}
    tensors |= {f"relation.{place}": rows for place, rows in enumerate(relations)}
    # The others count batches of a batch normalisation.
    tensors |= {f"interaction.{name}": tensor.cpu() for name, tensor in own if tensor.dtype.is_floating_point}
    name = type(interaction).__name__.removesuffix("Interaction")
    return tensors, PYKEEN_INTERACTIONS[name].read(interaction)


_CONVERTERS: dict[str, Callable[[Any, list[Tensor], list[Tensor]], Converted]] = {
    "TransE": _transe,
    "DistMult": _vectors,
    "ComplEx": _complex,
    "RotatE": _complex,
    "TuckER": _tucker,
    "RESCAL": _vectors,
    "CP": _cp,
    "PairRE": _pairre,
}
