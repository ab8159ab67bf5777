"""A policy in memory as the parts of an upload."""

from __future__ import annotations

from typing import Any

from proofrank.core.policy import Policy, PolicyNetwork
from proofrank.core.policy.checkpoint import (
    CONFIG_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    checkpoint_files,
)
from proofrank.core.prover import ProverSettings
from proofrank.service.client.errors import ClientError

_PARTS = {"weights": WEIGHTS_FILE, "config": CONFIG_FILE, "vocabulary": VOCABULARY_FILE}


def policy_parts(module: Any, like: Any = None) -> dict[str, bytes]:
    """The parts of an upload, by their names in the API, with the weights as they are now.

    Args:
        module: a :class:`Policy`, or a :class:`PolicyNetwork`, perhaps wrapped by ``torch.compile``.
        like: for a network: a policy whose vocabulary and prover settings it has.

    Raises:
        ClientError: they are something else, or do not fit together.
    """
    if like is not None and not isinstance(like, Policy):
        raise ClientError(f"like is a {type(like).__name__}; expected a proofrank.Policy")
    if isinstance(module, Policy):
        if like is not None:
            raise ClientError(
                "like is for a network; a proofrank.Policy has vocabulary and settings of its own"
            )
        if not isinstance(module.model, PolicyNetwork):
            raise ClientError(
                "the policy has a network of its own; upload the folder that export_policy has written by upload_policy"
            )
        network, like = module.model, module
    else:
        # torch.compile keeps the module that it wraps under this name.
        network = getattr(module, "_orig_mod", module)
    if not isinstance(network, PolicyNetwork):
        raise ClientError(
            f"module is a {type(module).__name__}; expected a proofrank.Policy or a PolicyNetwork"
        )
    if like is None:
        raise ClientError(
            "a network needs like=, a proofrank.Policy whose vocabulary and prover settings it has"
        )
    embedded = (
        network.embedding.predicates.shape[0] - 4,
        (network.embedding.arguments.shape[0] - 1 - network.config.max_variables),
    )
    wanted = like.vocabulary.num_predicates, like.vocabulary.num_constants
    if embedded != wanted:
        raise ClientError(
            f"the network embeds {embedded[0]} predicates and {embedded[1]} constants, and like= has {wanted[0]} and "
            f"{wanted[1]}"
        )
    files = checkpoint_files(network, like.vocabulary, like.settings or ProverSettings())
    return {part: files[name] for part, name in _PARTS.items()}
