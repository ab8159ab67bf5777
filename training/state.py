"""A training between two rounds, as a file: written after each, so that the same command goes on where it was cut off.

The file is one of safetensors, with the tensors of the network and its optimiser, the examples so far as numbers, and
the rest as JSON in its header. Nothing of it is pickled. A training that goes on from it ends with the same bytes as
one that was never interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from proofrank.core.errors import ProofrankError
from proofrank.core.prover import Atom, State
from proofrank.training.batches import Example

_FORMAT = "proofrank-training-1"

Choice = tuple[Atom | None, tuple[State, ...]]
"""What an example is of: the excluded fact, and the state with its actions."""

Examples = dict[Choice, Example | None]
"""The example of each choice that was met, in order; None for one that teaches nothing."""


@dataclass(frozen=True)
class TrainingState:
    """A training between two rounds.

    Attributes:
        num_rounds: number of rounds done.
        num_steps: number of steps of the optimiser.
        generator: state of the generator that shuffles examples.
        network: weights by name.
        optimizer: tensors of the optimiser, by the place of the parameter and their name.
        examples: of all rounds so far.
    """

    num_rounds: int
    num_steps: int
    generator: dict[str, Any]
    network: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    examples: Examples


def write_state(path: Path, state: TrainingState, identity: Mapping[str, Any]) -> None:
    """Writes the file in one step, in place of an earlier one.

    Args:
        path: of the file.
        state: what to write.
        identity: name -> value of everything that the training depends on, as JSON.
    """
    numbers, weights = _numbers_of(state.examples)
    tensors = {
        **{f"network.{name}": tensor.contiguous() for name, tensor in state.network.items()},
        **{f"optimizer.{name}": tensor.contiguous() for name, tensor in state.optimizer.items()},
        "examples.numbers": torch.from_numpy(numbers),
        "examples.weights": torch.from_numpy(weights),
    }
    header = {
        "format": _FORMAT,
        "identity": json.dumps(dict(identity)),
        "progress": json.dumps(
            {"rounds": state.num_rounds, "steps": state.num_steps, "generator": state.generator}
        ),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.part")
    save_file(tensors, written, header)
    written.replace(path)


def read_state(path: Path, identity: Mapping[str, Any]) -> TrainingState | None:
    """Reads the file; None if there is none.

    Raises:
        ProofrankError: it is no such file, or of another training; with the first difference.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT:
                raise ProofrankError(f"{path}: no state of a training; use another name")
            _check_same(path, identity, json.loads(header["identity"]))
            progress = json.loads(header["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ProofrankError(f"{path}: cannot be read: {error}; use another name") from error
    return TrainingState(
        progress["rounds"],
        progress["steps"],
        progress["generator"],
        _below("network.", tensors),
        _below("optimizer.", tensors),
        _examples_of(tensors["examples.numbers"].tolist(), tensors["examples.weights"].tolist()),
    )


def _check_same(path: Path, identity: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    for name in {**identity, **there}:
        if identity.get(name) != there.get(name):
            raise ProofrankError(
                f"{path}: of another training ({name} is {there.get(name)!r} there and {identity.get(name)!r} here); "
                "use another name"
            )


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _numbers_of(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """The examples as whole numbers, one after the other, and the weight of each; that of none is 0."""
    numbers: list[int] = []
    weights: list[float] = []
    for (excluded, states), example in examples.items():
        numbers += [0] if excluded is None else [1, *excluded]
        numbers.append(len(states))
        for state in states:
            numbers.append(len(state))
            for atom in state:
                numbers += atom
        targets = () if example is None else example.targets
        numbers += [len(targets), *targets]
        weights.append(0.0 if example is None else example.weight)
    return np.array(numbers, dtype=np.int64), np.array(weights, dtype=np.float64)


def _examples_of(numbers: list[int], weights: list[float]) -> Examples:
    """The examples of what :func:`_numbers_of` gives."""
    left = iter(numbers)
    found: Examples = {}
    for weight in weights:
        excluded = _atom(left) if next(left) else None
        states = tuple(tuple(_atom(left) for _ in range(next(left))) for _ in range(next(left)))
        targets = tuple(next(left) for _ in range(next(left)))
        example = Example(states[0], states[1:], targets, weight) if targets else None
        found[excluded, states] = example
    return found


def _atom(numbers: Iterator[int]) -> Atom:
    return next(numbers), next(numbers), next(numbers)
