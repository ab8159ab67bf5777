"""A tick, or half of one, as a function of tensors alone: halves are what an ahead-of-time compiler takes, and what its
machine code is given; the whole is for whoever wants to run a tick on other tensors than its own.

Every tensor that a half reads or writes is an argument: lanes, pool, counters, the graph's tables, what was observed
and the network's vectors of it. So the machine code holds no graph and no policy and works on the static buffers in
place. What is left are plain numbers, which the compiler takes for constants: :func:`constants_of` names them, so that
code made for other numbers is never used.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from proofrank.core.evaluator.tick import Tick
from proofrank.core.policy.features import RowFeatures
from proofrank.core.prover.lanes import CandidatePool, LaneState
from proofrank.core.prover.observation import EvalObs
from proofrank.core.prover.tables import GraphTables

_TABLES = tuple(field.name for field in dataclasses.fields(GraphTables) if field.type in ("Tensor", Tensor))
_PLAIN = (bool, int, float, str, torch.device)


def tensors_of(tick: Tick) -> list[Tensor]:
    """The static tensors of ``tick``, in the order of the arguments of :class:`TickProgram`."""
    return [*environment_tensors_of(tick), *_state_of(tick.features).values()]


def environment_tensors_of(tick: Tick) -> list[Tensor]:
    """Those of them that are not the network's: the arguments of the halves."""
    tables = tick.environment.engine.tables
    return [
        *tick.lanes,
        *tick.pool,
        tick.first_lane,
        tick.endf_feature,
        tick.counters,
        *(getattr(tables, name) for name in _TABLES),
        tables.facts.table,
    ]


def constants_of(tick: Tick) -> dict[str, dict[str, Any]]:
    """Everything that the halves read and that is no tensor: numbers, flags, names and settings, by their owner."""
    environment = tick.environment
    owners = (
        tick,
        environment,
        environment.engine,
        environment.engine.tables,
        environment.engine.tables.facts,
    )
    return {
        type(owner).__name__: {
            name: value
            for name, value in sorted(vars(owner).items())
            if isinstance(value, _PLAIN) or (dataclasses.is_dataclass(value) and not _holds_tensors(value))
        }
        for owner in owners
    }


class _Bound(NamedTuple):
    """A tick whose tensors are those that were given, and what its functions are called with."""

    tick: Tick
    lanes: LaneState
    pool: CandidatePool
    first_lane: Tensor
    endf_feature: Tensor
    counters: Tensor


def _bound(original: Tick, given: Iterator[Tensor]) -> _Bound:
    """``original`` on tensors that are given, as :func:`environment_tensors_of` lists them."""
    lanes = LaneState(*(next(given) for _ in LaneState._fields))
    pool = CandidatePool(*(next(given) for _ in CandidatePool._fields))
    first_lane, endf_feature, counters = next(given), next(given), next(given)
    environment = copy.copy(original.environment)
    environment.engine = copy.copy(environment.engine)
    tables = environment.engine.tables
    columns = {name: next(given) for name in _TABLES}
    facts = copy.copy(tables.facts)
    facts.table = next(given)
    environment.engine.tables = dataclasses.replace(tables, facts=facts, **columns)
    tick = copy.copy(original)
    tick.environment = environment
    # The network is not among the constants: whatever reads it here is an error.
    del tick.features, tick.score
    tick.bind()
    return _Bound(tick, lanes, pool, first_lane, endf_feature, counters)


class _Program(nn.Module):
    """What the programs have in common; none touches the tick's own tensors."""

    def __init__(self, tick: Tick) -> None:
        """The program of ``tick``."""
        super().__init__()
        self._tick = (tick,)  # in a tuple, so that its network is no part of this module's state


class TickProgram(_Program):
    """The tick on tensors that are given, in place; returns nothing."""

    def forward(self, tensors: Sequence[Tensor]) -> tuple[()]:
        """One tick on ``tensors``, as :func:`tensors_of` lists them."""
        given = iter(tensors)
        tick, lanes, pool, first_lane, endf_feature, counters = _bound(self._tick[0], given)
        features = self._tick[0].features
        state = dict(zip(_state_of(features), given, strict=True))
        tick.score = lambda states: functional_call(features, state, (states,))
        tick.tick_functional(lanes, pool, first_lane, endf_feature, counters)
        return ()


class FirstHalf(_Program):
    """The first half of the tick on tensors that are given, in place; returns the observation."""

    def forward(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The observation of lanes that are filled again; ``tensors`` are as :func:`environment_tensors_of` lists
        them."""
        bound = _bound(self._tick[0], iter(tensors))
        observation = bound.tick.first_half(bound.lanes, bound.pool, bound.first_lane)
        # As machine code expects them on the other side: it does not ask for strides.
        return tuple(tensor.contiguous() for tensor in observation)


class SecondHalf(_Program):
    """The second half of the tick on tensors that are given, in place; returns nothing."""

    def forward(
        self, tensors: Sequence[Tensor], observation: Sequence[Tensor], vectors: Tensor, num_padded: Tensor
    ) -> tuple[()]:
        """Moves the lanes.

        Args:
            tensors: as :func:`environment_tensors_of` lists them.
            observation: what the first half has returned.
            vectors: ``[N, E]`` float, of the observed states.
            num_padded: ``[]`` int64, how many the network has computed.
        """
        tick, lanes, pool, first_lane, endf_feature, counters = _bound(self._tick[0], iter(tensors))
        tick.second_half(
            lanes, pool, EvalObs(*observation), vectors, num_padded, endf_feature, first_lane, counters
        )
        return ()


def observation_like(tick: Tick) -> list[Tensor]:
    """Tensors shaped and typed as what :class:`FirstHalf` returns for ``tick``; their content is any."""
    shapes = [torch.empty_like(tensor, device="meta") for tensor in environment_tensors_of(tick)]
    with torch.no_grad():
        return [torch.empty_like(t, device=tick.endf_feature.device) for t in FirstHalf(tick)(shapes)]


def _state_of(features: RowFeatures) -> dict[str, Tensor]:
    """The network's parameters and buffers by name."""
    return {**dict(features.named_parameters()), **dict(features.named_buffers())}


def _holds_tensors(value: Any) -> bool:
    return any(isinstance(getattr(value, field.name), Tensor) for field in dataclasses.fields(value))
