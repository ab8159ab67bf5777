"""Policies in memory: copies of networks that are in training, and the files that hold a policy.

Both the built-in network and an exported one of somebody's own are in the same three files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch.nn.parallel import DataParallel, DistributedDataParallel

from proofrank.core.errors import PolicyError
from proofrank.core.graph import Vocabulary
from proofrank.core.policy.checkpoint import (
    Policy,
    build_network,
    check_weights,
    checkpoint_files,
    content_hash_of,
    vocabulary_file,
)
from proofrank.core.policy.exported import ExportedNetwork
from proofrank.core.policy.exported import checkpoint as exported
from proofrank.core.policy.exported.program import DTYPES
from proofrank.core.policy.files import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from proofrank.core.policy.network import PolicyNetwork
from proofrank.core.prover import ProverSettings


def unwrapped(module: Any) -> Any:
    """The module within torch's wrappers: of ``torch.compile``, and of a training on several devices."""
    while True:
        # torch.compile keeps the module that it wraps under this name.
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(module, (DataParallel, DistributedDataParallel)):
            inner = module.module
        if inner is None:
            return module
        module = inner


def policy_of(
    network: PolicyNetwork | ExportedNetwork, vocabulary: Vocabulary, settings: ProverSettings, *, name: str
) -> Policy:
    """A policy with a copy of a network, which may be in training; torch's random numbers are left as they are.

    Args:
        network: the network, on any device; the copy is on the CPU.
        vocabulary: names of the indices of its embeddings.
        settings: prover settings that it is trained with.
        name: name of the policy.

    Raises:
        PolicyError: the network is not of the size of the vocabulary, or a weight is not finite.
    """
    copy = _copy_of(network, vocabulary, name)
    files = _files(copy, vocabulary, settings, None)
    content_hash = content_hash_of(files[WEIGHTS_FILE], files[CONFIG_FILE], files[VOCABULARY_FILE])
    return Policy(name, copy, vocabulary, settings, content_hash)


def files_of(policy: Policy, training: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Name -> content of the files of a policy folder that holds ``policy``, with the weights as they are now.

    Args:
        policy: with the built-in network or one of somebody's own.
        training: notes on the training, as JSON; not read again. Those of the files that it was loaded from are not in
            a policy.

    Raises:
        PolicyError: the operations of a network of somebody's own are too many for a file.
    """
    return _files(policy.model, policy.vocabulary, policy.settings or ProverSettings(), training)


def exported_files(
    network: ExportedNetwork,
    vocabulary: Vocabulary,
    settings: ProverSettings,
    training: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Name -> content of the files of an exported network, as ``proofrank.export_policy`` writes them.

    Args:
        network: network whose operations and weights are written.
        vocabulary: names of the indices that it takes.
        settings: prover settings that it was trained with.
        training: notes on the training, as JSON; not read again.

    Raises:
        PolicyError: the operations are too many for a file.
    """
    weights = {
        # A copy of a network that computes in float64 has the values of float32.
        node.tensor: weight.detach().to("cpu", DTYPES[node.results[0].dtype]).contiguous()
        for node, weight in zip(network.program.weights, network.weights(), strict=True)
    }
    weights_file = save_tensors(weights)
    names_file = vocabulary_file(vocabulary, network.config.max_variables)
    config_file = exported.config_text(
        network.program,
        network.config.logit_scale,
        network.config.max_variables,
        settings,
        training or {},
        weights_file,
        names_file,
    )
    if len(config_file) > exported.MOST_CONFIG_BYTES:
        raise PolicyError(
            f"the network's {len(network.program.nodes)} nodes take {len(config_file)} bytes; expected at most "
            f"{exported.MOST_CONFIG_BYTES}"
        )
    return {WEIGHTS_FILE: weights_file, CONFIG_FILE: config_file, VOCABULARY_FILE: names_file}


def _files(
    network: PolicyNetwork | ExportedNetwork,
    vocabulary: Vocabulary,
    settings: ProverSettings,
    training: Mapping[str, Any] | None,
) -> dict[str, bytes]:
    if isinstance(network, ExportedNetwork):
        return exported_files(network, vocabulary, settings, training)
    return checkpoint_files(network, vocabulary, settings, training)


def _copy_of(
    network: PolicyNetwork | ExportedNetwork, vocabulary: Vocabulary, name: str
) -> PolicyNetwork | ExportedNetwork:
    if isinstance(network, ExportedNetwork):
        copy = network.in_dtype(torch.float32).to("cpu").eval()
        wanted = 1 + vocabulary.num_constants + copy.config.max_variables
        if copy.num_arguments != wanted:
            raise PolicyError(
                f"{name}: the network takes {copy.num_arguments} arguments; the vocabulary has {wanted}"
            )
        exported.check_weights(copy.program, copy.named_weights())
        return copy
    weights = {
        key: tensor.detach().to("cpu", copy=True).contiguous() for key, tensor in network.state_dict().items()
    }
    check_weights(network.config, vocabulary, weights, Path(name))
    with torch.device("meta"):  # no weights are drawn
        built_in = build_network(network.config, vocabulary)
    built_in.load_state_dict(weights, assign=True)
    return built_in.requires_grad_(False)
