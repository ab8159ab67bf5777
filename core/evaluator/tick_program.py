"""A tick as a function of tensors alone: what an ahead-of-time compiler takes, and what its machine code is given.

Every tensor that a tick reads or writes is an argument: lanes, pool, counters, the graph's tables, the network's
parameters. So the machine code holds no graph and no policy, works on the static buffers in place, and another policy
in the same buffers needs no compiler. What is left are plain numbers, which the compiler takes for constants:
:func:`constants_of` names them, so that code made for other numbers is never used.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.evaluator.tick import Tick
from core.policy.features import RowFeatures
from core.prover.lanes import CandidatePool, LaneState
from core.prover.tables import GraphTables

_TABLES = tuple(field.name for field in dataclasses.fields(GraphTables) if field.type in ("Tensor", Tensor))
_PLAIN = (bool, int, float, str, torch.device)


def tensors_of(tick: Tick) -> list[Tensor]:
    """The static tensors of ``tick``, in the order of the program's arguments."""
    tables = tick.environment.engine.tables
    return [
        *tick.lanes,
        *tick.pool,
        tick.first_lane,
        tick.endf_feature,
        tick.counters,
        *(getattr(tables, name) for name in _TABLES),
        tables.facts.table,
        *_state_of(tick.features).values(),
    ]


def constants_of(tick: Tick) -> dict[str, dict[str, Any]]:
    """Everything that a tick reads and that is no tensor: numbers, flags, names and settings, by their owner."""
    environment = tick.environment
    owners = (tick, environment, environment.engine, environment.engine.tables, environment.engine.tables.facts,
              tick.features)  # fmt: skip
    return {
        type(owner).__name__: {
            name: value
            for name, value in sorted(vars(owner).items())
            if isinstance(value, _PLAIN) or (dataclasses.is_dataclass(value) and not _holds_tensors(value))
        }
        for owner in owners
    }


class TickProgram(nn.Module):
    """The tick on tensors that are given, in place; returns nothing."""

    def __init__(self, tick: Tick) -> None:
        """The program of ``tick``, whose own tensors it does not touch."""
        super().__init__()
        self._tick = (tick,)  # in a tuple, so that its network is no part of this module's state

    def forward(self, tensors: Sequence[Tensor]) -> tuple[()]:
        """One tick on ``tensors``, as :func:`tensors_of` lists them."""
        given = iter(tensors)
        lanes = LaneState(*(next(given) for _ in LaneState._fields))
        pool = CandidatePool(*(next(given) for _ in CandidatePool._fields))
        first_lane, endf_feature, counters = next(given), next(given), next(given)
        original = self._tick[0]
        environment = copy.copy(original.environment)
        environment.engine = copy.copy(environment.engine)
        tables = environment.engine.tables
        columns = {name: next(given) for name in _TABLES}
        facts = copy.copy(tables.facts)
        facts.table = next(given)
        environment.engine.tables = dataclasses.replace(tables, facts=facts, **columns)
        tick = copy.copy(original)
        tick.environment = environment
        features = original.features
        state = dict(zip(_state_of(features), given, strict=True))
        tick.score = lambda states: functional_call(features, state, (states,))
        tick.bind()
        tick.tick_functional(lanes, pool, first_lane, endf_feature, counters)
        return ()


def _state_of(features: RowFeatures) -> dict[str, Tensor]:
    """The network's parameters and buffers by name."""
    return {**dict(features.named_parameters()), **dict(features.named_buffers())}


def _holds_tensors(value: Any) -> bool:
    return any(isinstance(getattr(value, field.name), Tensor) for field in dataclasses.fields(value))
