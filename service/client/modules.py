"""A policy in memory as the parts of an upload."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proofrank.core.errors import PolicyError
from proofrank.core.policy import Policy, PolicyNetwork, files_of, unwrapped
from proofrank.core.policy.checkpoint import (
    CONFIG_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    checkpoint_files,
)
from proofrank.core.policy.files import policy_paths
from proofrank.core.prover import ProverSettings
from proofrank.service.client.errors import ClientError

_PARTS = {"weights": WEIGHTS_FILE, "config": CONFIG_FILE, "vocabulary": VOCABULARY_FILE}


def policy_parts(
    module: Any, like: Any = None, export: Callable[[Any, Path], Any] | None = None
) -> dict[str, bytes]:
    """The parts of an upload, by their names in the API, with the weights as they are now.

    Args:
        module: a :class:`Policy`; or a :class:`PolicyNetwork`, perhaps wrapped by ``torch.compile`` or
            ``DistributedDataParallel``; or, with ``export``, any module.
        like: for a network: a policy whose vocabulary and prover settings it has.
        export: writes a policy folder of ``module`` into an empty folder.

    Raises:
        ClientError: they are something else, or do not fit together; or ``export`` has not written a policy folder.
    """
    if export is not None:
        return _exported_parts(module, like, export)
    if like is not None and not isinstance(like, Policy):
        raise ClientError(f"like is a {type(like).__name__}; expected a proofrank.Policy")
    if isinstance(module, Policy):
        if like is not None:
            raise ClientError(
                "like is for a network; a proofrank.Policy has vocabulary and settings of its own"
            )
        if not isinstance(module.model, PolicyNetwork):
            return _parts(files_of(module))
        network, like = module.model, module
    else:
        network = unwrapped(module)
    if not isinstance(network, PolicyNetwork):
        raise ClientError(
            f"module is a {type(module).__name__}; expected a proofrank.Policy or a PolicyNetwork, "
            "or export= for a network of one's own"
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
    return _parts(checkpoint_files(network, like.vocabulary, like.settings or ProverSettings()))


def _exported_parts(module: Any, like: Any, export: Callable[[Any, Path], Any]) -> dict[str, bytes]:
    """The parts of what ``export`` writes, unchanged."""
    if like is not None:
        raise ClientError("like is for the built-in network, export for one's own; expected one of them")
    if isinstance(module, Policy):
        raise ClientError("export is for a module; a proofrank.Policy is uploaded as it is")
    with tempfile.TemporaryDirectory(prefix="proofrank-push-") as folder:
        export(module, Path(folder))
        try:
            paths = policy_paths(Path(folder))._asdict()
            return {part: paths[part].read_bytes() for part in _PARTS}
        except (OSError, PolicyError) as error:
            raise ClientError(f"export has not written a policy folder: {error}") from error


def _parts(files: dict[str, bytes]) -> dict[str, bytes]:
    return {part: files[name] for part, name in _PARTS.items()}
