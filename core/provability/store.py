"""Keeps least models between processes: a file for each dataset, by its content."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy import sparse

from proofrank.core.graph import Dataset
from proofrank.core.provability.joins import Relation
from proofrank.core.provability.least_model import (
    DEFAULT_MAX_ATOMS,
    DEFAULT_SECONDS,
    CoarseModel,
    LeastModel,
    compute_least_model,
)

logger = logging.getLogger("proofrank")

_FORMAT = 1
"""Version of the file's form, and of the computation; a change of either makes other files."""

_EXACT, _COARSE = "exact", "coarse"


def stored_least_model(
    dataset: Dataset,
    folder: Path | None,
    *,
    seconds: float = DEFAULT_SECONDS,
    max_atoms: int = DEFAULT_MAX_ATOMS,
) -> LeastModel:
    """The least model of ``dataset``, read from ``folder`` where it has been computed before.

    Args:
        dataset: its ``content_hash`` and its predicates name the file; one without a hash is computed each time.
        folder: where models are kept; it may be missing. None keeps nothing.
        seconds: see :func:`compute_least_model`.
        max_atoms: likewise.
    """
    if folder is None or not dataset.content_hash:
        return compute_least_model(dataset, seconds=seconds, max_atoms=max_atoms)
    names = f"{dataset.content_hash[:40]}-{_digest_of(dataset.vocabulary.predicates)}"
    path = folder / f"least-model-{names}-{seconds:g}s-{max_atoms}-v{_FORMAT}.safetensors"
    model = _read(path, dataset.vocabulary.num_constants)
    if model is None:
        model = compute_least_model(dataset, seconds=seconds, max_atoms=max_atoms)
        _write(path, model)
    return model


def _digest_of(predicates: Sequence[str]) -> str:
    """A hash of the names by whose places a file tells its relations apart.

    A graph that is loaded beside another one has that one's predicates too. They may have no triple and no rule, and so
    no part in its content, but the indices of all that come after them are others.
    """
    return hashlib.sha256(json.dumps(predicates).encode()).hexdigest()[:8]


def _read(path: Path, num_constants: int) -> LeastModel | None:
    """The model in ``path``; None where there is none that can be read."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            description = json.loads(file.metadata()["proofrank"])
            relations = {
                part: {
                    int(predicate): _relation(
                        file.get_tensor(f"{part}.{predicate}.indptr"),
                        file.get_tensor(f"{part}.{predicate}.indices"),
                    )
                    for predicate in description[part]
                }
                for part in (_EXACT, _COARSE)
            }
            coarse = None
            if not description["is_exact"]:
                coarse = CoarseModel(file.get_tensor("block_of"), relations[_COARSE])
        if any(len(relation.indptr) != num_constants + 1 for relation in relations[_EXACT].values()):
            raise ValueError("a relation of another number of constants")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s cannot be used, and is computed again: %s", path, error)
        return None
    return LeastModel(relations[_EXACT], coarse, float(description["seconds"]))


def _relation(indptr: np.ndarray, indices: np.ndarray) -> Relation:
    """The relation of a matrix's rows. Raises ValueError where they are none."""
    size = len(indptr) - 1
    if size < 0 or indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise ValueError("rows that do not fit together")
    if len(indices) and not (indices.min() >= 0 and indices.max() < size):
        raise ValueError("a column outside of the matrix")
    return sparse.csr_array((np.ones(len(indices), dtype=bool), indices, indptr), shape=(size, size))


def _write(path: Path, model: LeastModel) -> None:
    """Writes ``model``, whole or not at all; a folder that cannot be written to costs a warning."""
    tensors = _tensors(_EXACT, model.relations)
    description: dict[str, object] = {
        "is_exact": model.is_exact,
        "seconds": model.seconds,
        _EXACT: sorted(model.relations),
        _COARSE: [],
    }
    if model.coarse is not None:
        tensors |= _tensors(_COARSE, model.coarse.relations) | {"block_of": model.coarse.block_of}
        description[_COARSE] = sorted(model.coarse.relations)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".least-model-") as folder:
            part = Path(folder) / "part"
            save_file(tensors, part, metadata={"proofrank": json.dumps(description)})
            part.replace(path)
    except OSError as error:
        logger.warning("the least model is not kept for the next time: %s", error)


def _tensors(part: str, relations: Mapping[int, Relation]) -> dict[str, np.ndarray]:
    tensors = {}
    for predicate, relation in relations.items():
        tensors[f"{part}.{predicate}.indptr"] = np.ascontiguousarray(relation.indptr)
        tensors[f"{part}.{predicate}.indices"] = np.ascontiguousarray(relation.indices)
    return tensors
