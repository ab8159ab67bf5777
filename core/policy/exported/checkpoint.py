"""The files of an exported network: its program stands in ``policy.json``, its weights in ``policy.safetensors``.

``policy.json`` has checksums of all three files, so that what is damaged is refused and not ranked with.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from proofrank.core.errors import PolicyError, shown
from proofrank.core.graph import TERMINAL_PREDICATES, Vocabulary
from proofrank.core.policy.config import MAX_VARIABLES
from proofrank.core.policy.exported import form
from proofrank.core.policy.exported.checking import MOST_WEIGHTS, check, embedding_dim, first_line
from proofrank.core.policy.exported.network import ExportedConfig, ExportedNetwork
from proofrank.core.policy.exported.program import DTYPES, PARAMETER, Program
from proofrank.core.policy.exported.rows import differing_company, random_inputs
from proofrank.core.prover import ProverSettings

FORMAT = "proofrank-exported-1"

MOST_CONFIG_BYTES = 1 << 20
MOST_WEIGHT_BYTES = 8 * MOST_WEIGHTS + (1 << 20)


def is_exported(fields: Mapping[str, Any]) -> bool:
    """Returns whether ``fields`` of a ``policy.json`` are those of an exported network."""
    return fields.get("format") == FORMAT


def config_text(
    program: Program,
    logit_scale: float,
    max_variables: int,
    settings: ProverSettings,
    training: Mapping[str, Any],
    weights: bytes,
    vocabulary: bytes,
) -> bytes:
    """Returns the content of ``policy.json``.

    Args:
        program: of the network.
        logit_scale: factor of its logits.
        max_variables: number of run-time variables that it knows.
        settings: prover settings that it was trained with.
        training: notes, as JSON; not read again.
        weights: content of ``policy.safetensors``.
        vocabulary: content of ``vocab.json``.
    """
    fields = {
        "format": FORMAT,
        "network": {
            "logit_scale": logit_scale,
            "max_variables": max_variables,
            "program": form.to_json(program),
        },
        "prover": dataclasses.asdict(settings),
        "training": dict(training),
    }
    checksums = {
        "config": hash_of_fields(fields),
        "weights": hashlib.sha256(weights).hexdigest(),
        "vocabulary": hashlib.sha256(vocabulary).hexdigest(),
    }
    marker = "the program stands here"
    fields["network"]["program"] = marker
    text = json.dumps({**fields, "checksums": checksums}, ensure_ascii=False, allow_nan=False, indent=1)
    return (text.replace(json.dumps(marker), form.dumps(program), 1) + "\n").encode()


def check_files(fields: Mapping[str, Any], weights: bytes, vocabulary: bytes) -> None:
    """Checks that the files are those that were written.

    Raises:
        PolicyError: says which file was changed.
    """
    stated = fields.get("checksums")
    if not isinstance(stated, dict):
        raise PolicyError(f"'checksums' is {shown(stated)}; expected an object")
    found = {
        "config": hash_of_fields({name: value for name, value in fields.items() if name != "checksums"}),
        "weights": hashlib.sha256(weights).hexdigest(),
        "vocabulary": hashlib.sha256(vocabulary).hexdigest(),
    }
    for part, checksum in found.items():
        if stated.get(part) != checksum:
            raise PolicyError(
                f"the {part} is not what was written: its SHA-256 is {checksum}, 'checksums' has "
                f"{shown(stated.get(part))}"
            )


def read_network(
    fields: Mapping[str, Any], tensors: Mapping[str, Tensor], vocabulary: Vocabulary
) -> tuple[ExportedNetwork, ProverSettings]:
    """Makes the network of a ``policy.json`` and its weights, and checks that no row depends on another.

    Raises:
        PolicyError: something cannot be used; names the node or the tensor.
        EvaluationError: a prover setting is bad.
    """
    network, prover = (_object(fields, name) for name in ("network", "prover"))
    program = form.from_json(_object(network, "program"))
    check(program)
    max_variables = network.get("max_variables")
    if not isinstance(max_variables, int) or not 0 <= max_variables <= MAX_VARIABLES:
        raise PolicyError(
            f"'max_variables' is {shown(max_variables)}; expected a whole number from 0 to {MAX_VARIABLES}"
        )
    scale = network.get("logit_scale")
    if not isinstance(scale, (int, float)) or not 0 < scale < math.inf:
        raise PolicyError(f"'logit_scale' is {shown(scale)}; expected a number above 0")
    config = make_config(program, float(scale), max_variables)
    check_weights(program, tensors)
    try:
        made = ExportedNetwork(config, program, tensors, 1 + vocabulary.num_constants + max_variables).eval()
    # What depends on no weight and no input is computed here; some operations take no such dtype on a CPU.
    except Exception as error:
        raise PolicyError(f"a constant of the network cannot be computed: {first_line(error)}") from error
    check_rows(made, vocabulary)
    return made, ProverSettings.from_dict(prover)


def make_config(program: Program, logit_scale: float, max_variables: int) -> ExportedConfig:
    """Returns the config of a checked program."""
    return ExportedConfig(
        maps=program.maps,
        num_atoms=program.num_atoms,
        embedding_dim=embedding_dim(program),
        logit_scale=logit_scale,
        max_variables=max_variables,
        num_nodes=len(program.nodes),
        program_sha256=hash_of_fields(form.to_json(program)),
    )


def check_rows(network: ExportedNetwork, vocabulary: Vocabulary) -> None:
    """Checks that the network takes every index of the vocabulary, and gives a row the same bits in any company.

    Raises:
        PolicyError: it does not.
    """
    weights = network.weights()
    num_predicates = 1 + vocabulary.num_predicates + len(TERMINAL_PREDICATES)

    def make_inputs(generator: torch.Generator) -> list[Tensor]:
        return random_inputs(network.program, num_predicates, network.num_arguments, generator)

    try:
        differing = differing_company(lambda *inputs: network.tile(*inputs, *weights), make_inputs)
    # The usual one is an index beyond a table, which operations report in ways of their own.
    except Exception as error:
        raise PolicyError(
            f"the network cannot be computed for states of predicates up to {num_predicates - 1} and arguments up to "
            f"{network.num_arguments - 1} (padding, {vocabulary.num_constants} constants, "
            f"{network.config.max_variables} variables): {first_line(error)}"
        ) from error
    if differing is None:
        return
    if differing.is_rounding:
        raise PolicyError(
            f"rows depend on each other: a state {differing.company} has a result that differs by "
            f"{differing.difference:.0e} from that in its own batch, by rounding, because this machine adds the "
            "numbers of some rows in another order; expected operations that do not, as usually those of layers whose "
            "sizes are multiples of 16"
        )
    raise PolicyError(
        f"rows depend on each other: a state {differing.company} has a result that differs by "
        f"{differing.difference:.2g} from that in its own batch; expected a network that maps each row by itself, as "
        "batch-norm in evaluation mode does and in training mode does not"
    )


def check_weights(program: Program, tensors: Mapping[str, Tensor]) -> None:
    """Checks names, shapes, dtypes and values of the weights of a program.

    Raises:
        PolicyError: names the tensor and what was expected.
    """
    nodes = {node.tensor: node for node in program.weights}
    missing, extra = sorted(nodes.keys() - tensors.keys()), sorted(tensors.keys() - nodes.keys())
    if missing or extra:
        raise PolicyError(
            f"the weights lack {shown(missing)} and have {shown(extra)}; expected the {len(nodes)} of the program"
        )
    for name, node in nodes.items():
        tensor, result = tensors[name], node.results[0]
        if tensor.dtype is not DTYPES[result.dtype] or list(tensor.shape) != result.shape_of(0):
            raise PolicyError(
                f"tensor {shown(name)} is {list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}; node "
                f"{node.name!r} has {result.shape_of(0)} {result.dtype}"
            )
        if tensor.is_floating_point():
            is_bad = ~torch.isfinite(tensor) if node.op == PARAMETER else torch.isnan(tensor)
            if bool(is_bad.any()):
                raise PolicyError(f"tensor {shown(name)} holds values that are not finite")


def _object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise PolicyError(f"{name!r} is {shown(value)}; expected an object")
    return value


def hash_of_fields(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
