"""Checks of what the functions of this process are called with, where a wrong guess is likely."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from proofrank.core.embedding import ScoreSource, load_embedding
from proofrank.core.errors import EmbeddingError, ProofrankError, RankingError, shown
from proofrank.core.graph import Dataset, Triple
from proofrank.core.policy import Policy


def check_loaded(dataset: Any, policy: Any) -> None:
    """Raises ProofrankError unless both are loaded: a path or a module in their place is a likely mistake."""
    if not isinstance(dataset, Dataset):
        raise ProofrankError(
            f"dataset is {_what(dataset)}; expected what proofrank.load_dataset(folder) returns"
        )
    if not isinstance(policy, Policy):
        raise ProofrankError(
            f"policy is {_what(policy)}; expected what proofrank.load_policy(folder, dataset) or "
            "proofrank.export_policy(module, dataset, folder) returns"
        )


def loaded_embedding(embedding: Any) -> ScoreSource:
    """The embedding, read where its path is given.

    Raises:
        EmbeddingError: it cannot be read, or is none: a PyKEEN model in its place is a likely mistake.
    """
    if isinstance(embedding, (str, Path)):
        return load_embedding(embedding)
    if not hasattr(embedding, "scorer"):
        raise EmbeddingError(
            f"embedding is a {type(embedding).__name__}; expected a path, or what proofrank.load_embedding(path) or "
            "proofrank.save_embedding(model, triples_factory, folder) returns"
        )
    return embedding


def _what(value: Any) -> str:
    return shown(value) if isinstance(value, str) else f"a {type(value).__name__}"


def triples_by_index(dataset: Dataset, triples: Iterable[Any]) -> list[Triple]:
    """The triples of these names.

    Raises:
        RankingError: one of them is not three names.
        UnknownNameError: a name is unknown.
    """
    if isinstance(triples, str):
        raise RankingError(f"triples is {shown(triples)}; expected tuples of names, (head, relation, tail)")
    return [triple_by_index(dataset, names) for names in triples]


def triple_by_index(dataset: Dataset, names: Any) -> Triple:
    """The triple of these names; raises as :func:`triples_by_index`."""
    parts = () if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
    if len(parts) != 3 or not all(isinstance(name, str) for name in parts):
        raise RankingError(f"triple is {shown(names)}; expected three names, (head, relation, tail)")
    return dataset.triple(*parts)
