"""A tick, or half of one, as a function of tensors alone. The ahead-of-time compiler takes halves, and its machine code
is called with their tensors; the whole serves callers that run a tick on other tensors than its own.

Every tensor that a half reads or writes is an argument: lanes, pool, counters, the graph's tables, what was observed
and the network's vectors of it. So the machine code holds no graph and no policy and works on the static buffers in
place. What is left are plain numbers, which the compiler takes for constants: :func:`constants_of` names them, so that
code made for other numbers is never used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from proofrank.core.evaluator.tick import Tick, TickBuffers, TickParts, WholeTick
from proofrank.core.policy.features import StateFeatures
from proofrank.core.prover.observation import EvalObs

_PLAIN = (bool, int, float, str, torch.device)


def tensors_of(tick: Tick) -> list[Tensor]:
    """The static tensors of ``tick``, in the order of the arguments of :class:`TickProgram`."""
    return [*environment_tensors_of(tick), *_state_of(tick.network).values()]


def environment_tensors_of(tick: Tick) -> list[Tensor]:
    """Those of them that are not the network's: the arguments of the halves."""
    return [*tick.buffers.tensors(), *tick.environment.engine.tables.tensors()]


def constants_of(tick: Tick) -> dict[str, dict[str, Any]]:
    """Everything that the halves read and that is no tensor: numbers, flags, names and settings, by their owner."""
    environment = tick.environment
    owners = (
        tick.parts,
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


def _on(parts: TickParts, given: Iterator[Tensor]) -> tuple[TickParts, TickBuffers]:
    """``parts`` and their buffers on the next tensors of ``given``, as :func:`environment_tensors_of` lists them."""
    buffers = TickBuffers.on(given)
    return TickParts(parts.environment.on(given), parts.logit_scale), buffers


class TickProgram(nn.Module):
    """The whole tick on tensors that are given, in place; returns nothing, and leaves the tick's own tensors alone."""

    def __init__(self, tick: Tick) -> None:
        """The program of ``tick``, which must be of fixed shape."""
        super().__init__()
        self._tick = (tick,)  # in a tuple, so that its network is no part of this module's state

    def forward(self, tensors: Sequence[Tensor]) -> tuple[()]:
        """One tick on ``tensors``, as :func:`tensors_of` lists them."""
        given = iter(tensors)
        network = self._tick[0].network
        parts, buffers = _on(self._tick[0].parts, given)
        state = dict(zip(_state_of(network), given, strict=True))
        tick = WholeTick(parts.environment, network, buffers)
        tick.score = lambda states: functional_call(network, state, (states,))
        tick.move(buffers)
        return ()


class FirstHalf(nn.Module):
    """The first half of a tick on tensors that are given, in place; returns the observation."""

    def __init__(self, parts: TickParts) -> None:
        """The half that ``parts`` have; their own tensors are left alone."""
        super().__init__()
        self._parts = parts

    def forward(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The observation of lanes that are filled again; ``tensors`` are as :func:`environment_tensors_of` lists
        them."""
        parts, buffers = _on(self._parts, iter(tensors))
        # As machine code expects them on the other side: it does not ask for strides.
        return tuple(tensor.contiguous() for tensor in parts.first_half(buffers))


class SecondHalf(nn.Module):
    """The second half of a tick on tensors that are given, in place; returns nothing."""

    def __init__(self, parts: TickParts) -> None:
        """The half that ``parts`` have; their own tensors are left alone."""
        super().__init__()
        self._parts = parts

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
        parts, buffers = _on(self._parts, iter(tensors))
        parts.second_half(buffers, EvalObs(*observation), vectors, num_padded)
        return ()


def observation_like(tick: Tick) -> list[Tensor]:
    """Tensors shaped and typed as what :class:`FirstHalf` returns for ``tick``; their content is any."""
    shapes = [torch.empty_like(tensor, device="meta") for tensor in environment_tensors_of(tick)]
    device = tick.buffers.endf_feature.device
    with torch.no_grad():
        return [torch.empty_like(tensor, device=device) for tensor in FirstHalf(tick.parts)(shapes)]


def _state_of(network: StateFeatures) -> dict[str, Tensor]:
    """The network's parameters and buffers by name."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _holds_tensors(value: Any) -> bool:
    return any(isinstance(getattr(value, field.name), Tensor) for field in dataclasses.fields(value))
