"""Folders of embeddings that the public DeepProofLog code writes: ``weights.pth``, ``config.json``, and files of names.

``entity2id.json`` and ``relation2id.json`` say which row belongs to which name. ``weights.pth`` is read as a state dict
of tensors (:mod:`proofrank.core.policy.importing.archive`); nothing of it is executed.

The formulas are those of :mod:`proofrank.core.embedding.interactions`, with these options. RotatE keeps an entity's
real and imaginary parts in two tables and a relation's phase in a third. With ``p`` 1 its distance is the sum of the
absolute values of both parts, else the sum of the moduli, where 1e-9 is added below the root; the score is ``gamma``
less that. TransE is the negative ``p``-norm. ComplEx, DistMult and TuckER have no option; the first dimension of
TuckER's core is the relation's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from proofrank.core.embedding.embedding import Embedding, make_embedding
from proofrank.core.embedding.folder import CONFIG_FILE, MOST_JSON_BYTES, content_hash, read_bytes, read_json
from proofrank.core.errors import EmbeddingError, PolicyError, shown
from proofrank.core.policy.importing.archive import read_state_dict

WEIGHTS_FILE = "weights.pth"
ENTITIES_FILE = "entity2id.json"
RELATIONS_FILE = "relation2id.json"

_WRAPPERS = ("_orig_mod.", "module.")
"""Prefixes that a compiled module, or one on several GPUs, puts before the name of each tensor."""

_EPSILON = 1e-9


class _Form(NamedTuple):
    """How one model of that code is read.

    Attributes:
        interaction: name of the interaction.
        names: name of a tensor in the file -> our name.
        convert: makes our tensors and options of the file's tensors and config.
    """

    interaction: str
    names: Mapping[str, str]
    convert: Callable[[dict[str, Tensor], Mapping[str, Any]], tuple[dict[str, Tensor], dict[str, Any]]]


def _plain(tensors: dict[str, Tensor], config: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    return tensors, {}


def _transe(
    tensors: dict[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    return tensors, {"p": config.get("p", 1)}


def _rotate(
    tensors: dict[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    phase, margin = tensors.pop("phase").to(torch.float64), tensors.pop("margin")
    if margin.numel() != 1:
        raise EmbeddingError(f"'gamma' has shape {list(margin.shape)}; expected one number")
    tensors |= {"relation_real": phase.cos(), "relation_imag": phase.sin()}
    norm = "parts" if config.get("p", 1) == 1 else "moduli"
    return tensors, {"norm": norm, "margin": float(margin), "epsilon": _EPSILON}


def _tucker(
    tensors: dict[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    core = tensors["core"]
    if core.ndim != 3:
        raise EmbeddingError(f"'W' has shape {list(core.shape)}; expected three dimensions")
    return tensors | {"core": core.permute(1, 0, 2)}, {}


_TABLES = {"entity_embeddings.weight": "entity", "relation_embeddings.weight": "relation"}
_PARTS = {"ent_re.weight": "entity_real", "ent_im.weight": "entity_imag"}
_FORMS = {
    "rotate": _Form("RotatE", {**_PARTS, "rel_phase.weight": "phase", "gamma": "margin"}, _rotate),
    "complex": _Form(
        "ComplEx", {**_PARTS, "rel_re.weight": "relation_real", "rel_im.weight": "relation_imag"}, _plain
    ),
    "tucker": _Form("TuckER", {"ent.weight": "entity", "rel.weight": "relation", "W": "core"}, _tucker),
    "transe": _Form("TransE", _TABLES, _transe),
    "distmult": _Form("DistMult", _TABLES, _plain),
}


def is_deepprooflog(folder: Path) -> bool:
    """Whether ``folder`` holds a file that only that code writes."""
    return (folder / WEIGHTS_FILE).is_file() or (folder / ENTITIES_FILE).is_file()


def read_deepprooflog(folder: Path) -> Embedding:
    """Reads an embedding of the public DeepProofLog code.

    Raises:
        EmbeddingError: a file is missing or bad, or the model is not one of those that are read.
    """
    contents = {
        name: read_bytes(folder / name, MOST_JSON_BYTES)
        for name in (CONFIG_FILE, ENTITIES_FILE, RELATIONS_FILE)
    }
    config = read_json(contents[CONFIG_FILE], folder / CONFIG_FILE)
    model = config.get("model", "RotatE")  # that code's default
    form = _FORMS.get(model.lower()) if isinstance(model, str) else None
    if form is None:
        known = ", ".join(known.interaction for known in _FORMS.values())
        raise EmbeddingError(f"{folder / CONFIG_FILE}: 'model' is {shown(model)}; expected one of {known}")
    path = folder / WEIGHTS_FILE
    try:
        state = read_state_dict(path)
    except PolicyError as error:
        raise EmbeddingError(f"{error}") from error
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.tensors.items():
        tensors[_unwrapped(name)] = tensor
    if tensors.keys() != form.names.keys():
        raise EmbeddingError(
            f"{path}: has tensors {', '.join(sorted(tensors))}; expected {', '.join(sorted(form.names))} of "
            f"{form.interaction}"
        )
    try:
        renamed, options = form.convert(
            {form.names[name]: tensor for name, tensor in tensors.items()}, config
        )
        return make_embedding(
            name=folder.resolve().name,
            content_hash=content_hash(read_bytes(path, 8 << 30), *contents.values()),
            interaction=form.interaction,
            options=options,
            tensors=renamed,
            entities=_names(contents[ENTITIES_FILE], folder / ENTITIES_FILE),
            relations=_names(contents[RELATIONS_FILE], folder / RELATIONS_FILE),
            notes={"of": "the public DeepProofLog code", "config": config},
        )
    except EmbeddingError as error:
        raise EmbeddingError(f"{folder}: {error}") from error


def _unwrapped(name: str) -> str:
    while True:
        prefix = next((prefix for prefix in _WRAPPERS if name.startswith(prefix)), None)
        if prefix is None:
            return name
        name = name.removeprefix(prefix)


def _names(content: bytes, path: Path) -> list[str]:
    """The names in the order of their rows."""
    rows = read_json(content, path)
    names = [""] * len(rows)
    taken: set[int] = set()
    for name, row in rows.items():
        if type(row) is not int or not 0 <= row < len(rows) or row in taken:
            raise EmbeddingError(
                f"{path}: the row of {name!r} is {shown(row)}; expected each of 0 to {len(rows) - 1} once"
            )
        taken.add(row)
        names[row] = name
    return names
