"""Makes a policy folder of a network of one's own: a torch module that maps states to vectors, or pairs to logits.

The module is traced by ``torch.export``. What is stored are its weights and its operations, which
:func:`proofrank.core.policy.load_policy` runs without any of the module's code.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from proofrank.core.errors import PolicyError, shown
from proofrank.core.formats.finite_numbers import is_finite_number
from proofrank.core.graph import TERMINAL_PREDICATES, Dataset
from proofrank.core.policy.checkpoint import Policy, load_policy
from proofrank.core.policy.exported import ExportedNetwork
from proofrank.core.policy.exported import checkpoint as exported
from proofrank.core.policy.exported.checking import TILE_ROWS, check, first_line
from proofrank.core.policy.exported.program import Maps
from proofrank.core.policy.exported.rows import random_inputs
from proofrank.core.policy.exported.tracing import trace
from proofrank.core.policy.files import replace_folder
from proofrank.core.policy.in_memory import exported_files, unwrapped
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.growth import most_places, most_variables

_TOLERANCE = 1e-3
"""Difference to the module's own result that rounding explains, relative to 1 plus the largest of them."""


class NetworkSizes(NamedTuple):
    """What a network for a dataset must take.

    Attributes:
        num_predicates: rows of a table of predicates: padding (0), the dataset's, ``True``, ``False`` and ``Endf``.
        num_arguments: rows of a table of arguments: padding (0), the constants, then the variables.
        num_atoms: A, the places of a state; those behind its last atom are zeros.
    """

    num_predicates: int
    num_arguments: int
    num_atoms: int


def network_sizes(
    dataset: Dataset, settings: ProverSettings | None = None, *, max_variables: int | None = None
) -> NetworkSizes:
    """Returns what a network of one's own must take for a dataset.

    Args:
        dataset: graph whose states the network maps.
        settings: of the prover; the defaults if None.
        max_variables: number of run-time variables; as many as a trajectory can need if None.
    """
    settings = settings if settings is not None else ProverSettings()
    num_variables = _num_variables(dataset, settings, max_variables)
    vocabulary = dataset.vocabulary
    return NetworkSizes(
        1 + vocabulary.num_predicates + len(TERMINAL_PREDICATES),
        1 + vocabulary.num_constants + num_variables,
        most_places(dataset, settings),
    )


def export_policy(
    module: nn.Module,
    dataset: Dataset,
    folder: Path | str,
    settings: ProverSettings | None = None,
    *,
    pairs: bool | None = None,
    logit_scale: float = 1.0,
    max_variables: int | None = None,
    training: Mapping[str, Any] | None = None,
) -> Policy:
    """Writes a policy folder of a network of one's own, and loads it.

    The module is traced in evaluation mode, and left in the mode that it was in. It maps

    - states ``[N, A, 3]`` int64 to vectors ``[N, E]`` float32; the logit of an action is ``logit_scale`` times the dot
      product of its vector with that of the state; or
    - a state and an action, ``[N, A, 3]`` int64 each, to logits ``[N]`` float32.

    An atom is (predicate, first argument, second argument) by the indices of ``dataset.vocabulary``, with zeros behind
    the last atom. Each row must be mapped by itself.

    Args:
        module: float32, on the CPU; wrappers of ``torch.compile`` and ``DataParallel`` are taken off.
        dataset: graph whose names it knows.
        folder: folder to write to; made if it does not exist.
        settings: prover settings that it was trained with; the defaults if None.
        pairs: whether the module takes a state and an action; read from its ``forward`` if None.
        logit_scale: factor of the logits.
        max_variables: number of run-time variables that it knows; as many as a trajectory can need if None.
        training: notes on the training, as JSON.

    Raises:
        PolicyError: it cannot be traced, has an operation that is not allowed, depends on the other rows, or differs
            from the module. Nothing is written then.
    """
    module = unwrapped(module)
    if not isinstance(module, nn.Module):
        raise PolicyError(f"module is a {type(module).__name__}; expected a torch.nn.Module")
    settings = settings if settings is not None else ProverSettings()
    sizes = network_sizes(dataset, settings, max_variables=max_variables)
    maps: Maps = "pairs" if _takes_pairs(module, pairs) else "states"
    _check_arguments(module, logit_scale, training)
    num_variables = sizes.num_arguments - 1 - dataset.vocabulary.num_constants
    with _in_evaluation_mode(module):
        program, weights = trace(module, maps, sizes.num_atoms)
        check(program)
        config = exported.make_config(program, float(logit_scale), num_variables)
        network = ExportedNetwork(config, program, weights, sizes.num_arguments).eval()
        exported.check_rows(network, dataset.vocabulary)
        _compare(module, network, sizes)
    files = exported_files(network, dataset.vocabulary, settings, training)
    replace_folder(Path(folder), files)
    # Not as it was given: a folder may be named as policies that are drawn, such as untrained.
    return load_policy(Path(folder).resolve(), dataset)


def _num_variables(dataset: Dataset, settings: ProverSettings, given: int | None) -> int:
    needed = most_variables(dataset, settings, settings.max_resolutions_per_step)
    if given is None:
        return needed
    if type(given) is not int or given < needed:
        raise PolicyError(
            f"max_variables is {shown(given)}; expected at least {needed}, which a trajectory of dataset "
            f"{dataset.name!r} may need"
        )
    return given


def _takes_pairs(module: nn.Module, pairs: bool | None) -> bool:
    if pairs is not None:
        return pairs
    parameters = inspect.signature(module.forward).parameters.values()
    plain = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
    ]
    if len(plain) not in (1, 2) or any(
        parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters
    ):
        raise PolicyError(
            f"the module's forward takes {len(plain)} inputs; expected states, or a state and an action; say which by "
            "pairs=True or pairs=False"
        )
    first, *others = (parameter.name for parameter in plain)
    if len(others) == 1 and "action" in first and "state" in others[0]:
        raise PolicyError(
            f"the module's forward takes ({first}, {others[0]}), and is called with the state first; expected "
            f"forward({others[0]}, {first})"
        )
    return len(plain) == 2


def _check_arguments(module: nn.Module, logit_scale: float, training: Mapping[str, Any] | None) -> None:
    if not is_finite_number(logit_scale) or logit_scale <= 0:
        raise PolicyError(f"logit_scale is {shown(logit_scale)}; expected a number above 0")
    try:
        json.dumps(dict(training or {}), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"training is not JSON: {error}") from error
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.device.type != "cpu":
            raise PolicyError(f"the module's {name} is on {tensor.device}; call module.cpu() first")
        if tensor.is_floating_point() and tensor.dtype is not torch.float32:
            raise PolicyError(f"the module's {name} is {tensor.dtype}; call module.float() first")


@contextmanager
def _in_evaluation_mode(module: nn.Module) -> Iterator[None]:
    was_training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in was_training.items():
            part.training = mode


@torch.no_grad()
def _compare(module: nn.Module, network: ExportedNetwork, sizes: NetworkSizes) -> None:
    """Compares the network with the module, for a whole tile and for a few rows."""
    generator = torch.Generator().manual_seed(1)
    inputs = random_inputs(network.program, sizes.num_predicates, sizes.num_arguments, generator)
    ours = network.tile(*inputs, *network.weights())
    for num_rows in (TILE_ROWS, 3):
        try:
            theirs = module(*[given[:num_rows] for given in inputs])
        # Whatever the module's code raises.
        except Exception as error:
            raise PolicyError(
                f"the module cannot be computed for {num_rows} rows: {first_line(error)}"
            ) from error
        if not isinstance(theirs, Tensor):
            raise PolicyError(f"the module gives a {type(theirs).__name__}; expected one tensor")
        if theirs.shape != ours[:num_rows].shape:
            raise PolicyError(
                f"the module's result for {num_rows} rows has another shape than for {TILE_ROWS}"
            )
        difference = (theirs - ours[:num_rows]).abs().max()
        if not difference <= _TOLERANCE * (1 + theirs.abs().max()):
            raise PolicyError(
                f"for {num_rows} rows, the module's own result differs by {difference.item():.2g} from that of its "
                "traced operations"
            )
