"""Reads checkpoint folders whose tensors have the names of the public DeepProofLog code (arXiv 2511.08581).

The names are those of its old generation, on Stable-Baselines3, in a ``policy.safetensors`` with a ``policy.json`` and
a ``vocab.json`` beside it. That code writes no such folder: recordings of its evaluations came in this form. The files
that it does write are imported by :mod:`proofrank.core.policy.importing`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from proofrank.core.policy.config import PolicyConfig

_EMBEDDER = "features_extractor.embedder."
_NETWORK = "mlp_extractor.shared_network."
_RENAMED = (
    (re.escape(_EMBEDDER + "predicate_embedder.embedder.weight"), "embedding.predicates"),
    (re.escape(_EMBEDDER + "constant_embedder.embedder.weight"), "embedding.arguments"),
    (re.escape(_NETWORK + "shared_body.input_transform.0."), "body_input."),
    (re.escape(_NETWORK + "shared_body.input_transform.2."), "body_norm."),
    (re.escape(_NETWORK + "shared_body.res_blocks.") + r"(\d+)\.0\.", r"body_blocks.\1.linear."),
    (re.escape(_NETWORK + "shared_body.res_blocks.") + r"(\d+)\.2\.", r"body_blocks.\1.norm."),
    (re.escape(_NETWORK + "policy_head.out_transform.0."), "head_hidden."),
    (re.escape(_NETWORK + "policy_head.out_transform.2."), "head_output."),
)
_NO_CONFIG = ("keys", "max_variables", "padding_atoms")


def is_deepprooflog(tensors: Mapping[str, Tensor]) -> bool:
    """Returns whether ``tensors`` have the names of the old generation."""
    return any(name.startswith((_EMBEDDER, _NETWORK)) for name in tensors)


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors under our names; unknown names are kept."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    for pattern, ours in _RENAMED:
        if re.match(pattern, name):
            return re.sub(pattern, ours, name)
    return name


def read_config(fields: Mapping[str, Any], max_variables: int) -> PolicyConfig:
    """Reads the config of such a folder.

    Args:
        fields: content of ``policy.json``; its ``keys`` lists the tensors and is not needed.
        max_variables: number of run-time variables with an embedding, from the vocabulary.

    Raises:
        PolicyError: a name is unknown or a value is bad.
    """
    known = {name: value for name, value in fields.items() if name not in _NO_CONFIG}
    return PolicyConfig.from_dict({**known, "max_variables": max_variables})
