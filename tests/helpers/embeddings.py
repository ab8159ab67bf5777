"""Embeddings of small graphs, made rather than trained."""

from __future__ import annotations

from pathlib import Path

import torch

from proofrank.core.embedding import Embedding
from proofrank.core.embedding.embedding import make_embedding
from proofrank.core.embedding.folder import write_folder
from proofrank.core.graph import Dataset


def distmult_tensors(dataset: Dataset, seed: int, spread: float = 1.0) -> dict[str, torch.Tensor]:
    """Random tensors of DistMult, rounded so that many scores are equal."""
    generator = torch.Generator().manual_seed(seed)

    def table(rows: int) -> torch.Tensor:
        return (torch.randn(rows, 2, generator=generator) * spread).round()

    return {
        "entity": table(dataset.vocabulary.num_constants),
        "relation": table(dataset.vocabulary.num_predicates),
    }


def make_distmult(dataset: Dataset, seed: int = 0, spread: float = 1.0) -> Embedding:
    """A random embedding of all names of ``dataset``, many of whose scores are equal."""
    return make_embedding(
        name="random",
        content_hash="0" * 64,
        interaction="DistMult",
        options={},
        tensors=distmult_tensors(dataset, seed, spread),
        entities=dataset.vocabulary.constants,
        relations=dataset.vocabulary.predicates,
    )


def write_distmult(folder: Path, dataset: Dataset, seed: int = 0) -> Path:
    """Writes such an embedding, in the reverse order of names."""
    write_folder(
        folder,
        interaction="DistMult",
        options={},
        tensors={name: tensor.flip(0) for name, tensor in distmult_tensors(dataset, seed).items()},
        entities=dataset.vocabulary.constants[::-1],
        relations=dataset.vocabulary.predicates[::-1],
    )
    return folder


def write_too_large(folder: Path, dataset: Dataset, finite: str) -> Path:
    """Writes an embedding of finite weights that gives each triple of relation ``finite`` the score -1e308, and each
    other an infinite one.
    """
    names = dataset.vocabulary.predicates
    write_folder(
        folder,
        interaction="DistMult",
        options={},
        tensors={
            "entity": torch.full((dataset.vocabulary.num_constants, 1), 1e160, dtype=torch.float64),
            "relation": torch.tensor(
                [[-1e-12 if name == finite else 1.0] for name in names], dtype=torch.float64
            ),
        },
        entities=dataset.vocabulary.constants,
        relations=names,
    )
    return folder
