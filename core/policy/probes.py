"""States and actions by names, with or without logits: the lines by which an import is checked.

A line is a JSON object. ``state`` is a list of atoms, ``actions`` a list of states, ``logits`` a list of numbers, one
for each action. An atom is ``[predicate, first, second]``, or ``["True"]``, ``["False"]`` or ``["Endf"]`` alone;
``null`` is an empty place. ``variables`` gives the offset of each variable, 0 for the first. Other keys are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from proofrank.core.errors import PolicyError, UnknownNameError, shown
from proofrank.core.graph import TERMINAL_PREDICATES
from proofrank.core.policy.checkpoint import Policy
from proofrank.core.policy.scorer import StateScorer
from proofrank.core.prover import State

_EMPTY = (0, 0, 0)
_MAX_LINE_BYTES = 16 << 20
_LARGEST = 3.4e38


@dataclass(frozen=True)
class Probe:
    """One state with its actions.

    Attributes:
        place: file and number of the line.
        fields: content of the line.
        state: by indices; an empty place is an atom of zeros.
        actions: likewise.
        logits: those of the line, one for each action; None where it has none.
    """

    place: str
    fields: dict[str, Any]
    state: State
    actions: tuple[State, ...]
    logits: tuple[float, ...] | None


@dataclass(frozen=True)
class ProbeResult:
    """The logits of a policy for one probe."""

    probe: Probe
    logits: tuple[float, ...]

    @property
    def difference(self) -> float | None:
        """Largest absolute difference to the logits of the line; None where it has none."""
        if self.probe.logits is None:
            return None
        return max(
            (abs(ours - theirs) for ours, theirs in zip(self.logits, self.probe.logits, strict=True)),
            default=0.0,
        )

    def allowed(self, tolerance: float) -> float:
        """Returns the difference that ``tolerance``, relative to 1 plus the largest logit of the line, allows."""
        return tolerance * (1.0 + max((abs(logit) for logit in self.probe.logits or ()), default=0.0))


def read_probes(path: Path | str, policy: Policy) -> Iterator[Probe]:
    """Yields the probes of ``path`` by the indices of ``policy``.

    Raises:
        PolicyError: the file cannot be read, or a line is bad; names file and line.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > _MAX_LINE_BYTES:
                    raise PolicyError(f"{path}:{number}: longer than {_MAX_LINE_BYTES >> 20} MiB")
                if line.strip():
                    yield _parse(line, f"{path}:{number}", policy)
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error


class ProbeScorer:
    """Computes the logits of probes, in float64 or as engines do."""

    def __init__(self, policy: Policy, dtype: torch.dtype = torch.float64) -> None:
        """Copies the network of ``policy``.

        Args:
            policy: policy whose logits are computed.
            dtype: ``torch.float64``, whose rounding shows in no float32 logit; or ``torch.float32``, as engines use.
        """
        self._scorer = StateScorer(policy.model.in_dtype(dtype))

    def __call__(self, probe: Probe) -> ProbeResult:
        """Returns the logits of one probe, computed alone. Raises EvaluationError if one is not finite."""
        return ProbeResult(probe, tuple(self._scorer(probe.state, probe.actions)))


def _parse(line: bytes, place: str, policy: Policy) -> Probe:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{place}: not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise PolicyError(
            f"{place}: a JSON {type(fields).__name__}; expected an object with state and actions"
        )
    reader = _Reader(place, policy, _variables(fields.get("variables", {}), place, policy))
    actions = fields.get("actions")
    if not isinstance(actions, list) or not actions:
        raise PolicyError(f"{place}: 'actions' is {shown(actions)}; expected a list of states")
    return Probe(
        place,
        fields,
        reader.state(fields.get("state"), "state"),
        tuple(reader.state(action, f"actions[{index}]") for index, action in enumerate(actions)),
        _logits(fields.get("logits"), len(actions), place),
    )


def _variables(value: Any, place: str, policy: Policy) -> dict[str, int]:
    """Returns the indices of the variables by name."""
    if not isinstance(value, dict):
        raise PolicyError(f"{place}: 'variables' is {shown(value)}; expected an object of offsets by name")
    most = policy.shape.max_variables
    indices: dict[str, int] = {}
    for name, offset in value.items():
        if type(offset) is not int or not 0 <= offset < most:
            raise PolicyError(
                f"{place}: variable {shown(name)} has offset {shown(offset)}; expected a whole number from 0 to "
                f"{most - 1}"
            )
        indices[name] = policy.vocabulary.first_variable_index + offset
    return indices


def _logits(value: Any, num_actions: int, place: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != num_actions:
        raise PolicyError(
            f"{place}: 'logits' is {shown(value)}; expected {num_actions} numbers, one an action"
        )
    for logit in value:
        if type(logit) not in (int, float) or not abs(logit) < _LARGEST:
            raise PolicyError(f"{place}: a logit is {shown(logit)}; expected a finite float32")
    # Their decimals are the shortest that mean one float32.
    return tuple(float(np.float32(logit)) for logit in value)


@dataclass(frozen=True)
class _Reader:
    """Turns names of one line into indices."""

    place: str
    policy: Policy
    variables: Mapping[str, int]

    def state(self, value: Any, where: str) -> State:
        if not isinstance(value, list) or not value:
            raise PolicyError(f"{self.place}: {where} is {shown(value)}; expected a list of atoms")
        return tuple(_EMPTY if atom is None else self._atom(atom, where) for atom in value)

    def _atom(self, value: Any, where: str) -> tuple[int, int, int]:
        if (
            not isinstance(value, list)
            or len(value) not in (1, 3)
            or not all(isinstance(name, str) for name in value)
        ):
            raise PolicyError(
                f"{self.place}: {where} has the atom {shown(value)}; expected [predicate, first, second] or ['True']"
            )
        vocabulary = self.policy.vocabulary
        if len(value) == 1:
            if value[0] not in TERMINAL_PREDICATES:
                raise PolicyError(
                    f"{self.place}: {where} has the atom {shown(value)}; without arguments expected one of "
                    f"{', '.join(TERMINAL_PREDICATES)}"
                )
            return (vocabulary.true_index + TERMINAL_PREDICATES.index(value[0]), 0, 0)
        try:
            predicate = vocabulary.predicate_index(value[0])
            first, second = (
                self.variables[name] if name in self.variables else vocabulary.constant_index(name)
                for name in value[1:]
            )
        except UnknownNameError as error:
            hint = " and no name of 'variables'" if error.kind == "constant" else ""
            raise PolicyError(f"{self.place}: {where}: {error}{hint}") from error
        return (predicate, first, second)
