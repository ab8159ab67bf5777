"""One tick on static buffers: refill, observe, score, step, retire.

:class:`TickParts` has what a tick does before and after the network, :class:`Tick` what all ways to run it have in
common. A tick is run whole, as one function of its buffers (:class:`WholeTick`, and with a difference each
:class:`TrimmedTick` and :class:`SeparateTick`), or in two halves between which the host looks how many states there
are to score (:class:`HalvedTick`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from proofrank.core.policy.features import StateFeatures
from proofrank.core.prover.environment import EvalOnlyEnvCompiled
from proofrank.core.prover.lanes import IDLE, CandidatePool, LaneState
from proofrank.core.prover.observation import EvalObs
from proofrank.core.prover.rows import places

COUNTERS = (
    "ticks", "rows_expanded", "facts_checked", "states_scored", "states_padded", "lanes_busy", "lanes",
)  # fmt: skip

Compiler = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Takes a function and gives one that does the same, compiled."""


class TickBuffers(NamedTuple):
    """What a tick reads and writes, in place, beside the graph and the network.

    Attributes:
        lanes: the trajectories under way.
        pool: where candidates come from and outcomes go.
        first_lane: ``[]`` int64, the lane that is admitted first in the next tick.
        endf_feature: ``[E]`` float, the network's vector of ``[Endf]``; only read.
        counters: ``[7]`` int64, in the order of ``COUNTERS``.
    """

    lanes: LaneState
    pool: CandidatePool
    first_lane: Tensor
    endf_feature: Tensor
    counters: Tensor

    def tensors(self) -> list[Tensor]:
        """All of them, in order."""
        return [*self.lanes, *self.pool, self.first_lane, self.endf_feature, self.counters]

    @classmethod
    def on(cls, given: Iterator[Tensor]) -> TickBuffers:
        """Buffers on the next tensors of ``given``, as :meth:`tensors` lists them."""
        lanes = LaneState(*(next(given) for _ in LaneState._fields))
        pool = CandidatePool(*(next(given) for _ in CandidatePool._fields))
        return cls(lanes, pool, next(given), next(given), next(given))


def new_buffers(lanes: LaneState, pool: CandidatePool, endf_feature: Tensor) -> TickBuffers:
    """Buffers with all counters at 0."""
    device = endf_feature.device
    first_lane = torch.zeros((), dtype=torch.int64, device=device)
    counters = torch.zeros(len(COUNTERS), dtype=torch.int64, device=device)
    return TickBuffers(lanes, pool, first_lane, endf_feature, counters)


class Begun(NamedTuple):
    """A tick before the network: the lanes after the refill, the pool's ``head`` after it, and what was observed."""

    lanes: LaneState
    head: Tensor
    observation: EvalObs


class Finished(NamedTuple):
    """A tick after the network.

    Attributes:
        lanes: after the step.
        first_lane: ``[]`` int64, the lane to admit first in the next tick.
        counts: ``[7]`` int64, what is added to the counters.
    """

    lanes: LaneState
    first_lane: Tensor
    counts: Tensor


class TickParts:
    """What a tick does before and after the network, which it knows nothing of."""

    def __init__(self, environment: EvalOnlyEnvCompiled, logit_scale: float) -> None:
        """The parts.

        Args:
            environment: moves the lanes.
            logit_scale: what a dot product of two of the network's vectors is multiplied by.
        """
        self.environment = environment
        self.logit_scale = logit_scale

    def begin(self, buffers: TickBuffers) -> Begun:
        """Refills the lanes and observes them; writes nothing."""
        lanes, head = self.environment.refill(buffers.lanes, buffers.pool)
        is_running = _is_running(lanes, buffers.pool)
        return Begun(lanes, head, self.environment.observe(lanes, is_running, buffers.first_lane))

    def finish(
        self,
        buffers: TickBuffers,
        lanes: LaneState,
        observation: EvalObs,
        vectors: Tensor,
        num_padded: Tensor,
    ) -> Finished:
        """Moves the lanes; writes the outcomes of those that end into the pool, and nothing else.

        Args:
            buffers: of the tick.
            lanes: as :meth:`begin` gave them.
            observation: likewise.
            vectors: ``[N, E]`` float, the network's, of the observed states.
            num_padded: ``[]`` int64, how many the network has computed.
        """
        pool, first_lane = buffers.pool, buffers.first_lane
        is_running = _is_running(lanes, pool)
        counts = torch.stack(
            [
                torch.ones_like(first_lane),
                observation.num_rows,
                observation.num_checks,
                observation.num_scored,
                num_padded,
                is_running.sum(),
                torch.full_like(first_lane, is_running.shape[0]),
            ]
        )
        moved, is_ended, success = self.environment.step_functional(
            lanes, observation, vectors, buffers.endf_feature, self.logit_scale, pool.recorded
        )
        is_pruned = is_running & ~is_ended & (moved.depth > lanes.depth)
        is_pruned = is_pruned & self.environment.has_fallen_behind(moved, pool)
        is_ended = is_ended | is_pruned
        is_waiting = is_running & ~is_ended
        is_waiting = is_waiting & (moved.depth == lanes.depth) & (moved.num_skipped == lanes.num_skipped)
        num_lanes = is_running.shape[0]
        place = places(num_lanes, first_lane)
        # The first that had to wait goes first; where none did, the order stays.
        nearest = torch.where(is_waiting, place, num_lanes).amin() % num_lanes
        retired = self.environment.retire(moved, pool, is_ended, success, is_pruned)
        return Finished(retired, (first_lane + nearest) % num_lanes, counts)

    def first_half(self, buffers: TickBuffers) -> EvalObs:
        """:meth:`begin` in place; gives what was observed."""
        begun = self.begin(buffers)
        store(buffers.lanes, begun.lanes)
        buffers.pool.head.copy_(begun.head)
        return begun.observation

    def second_half(
        self, buffers: TickBuffers, observation: EvalObs, vectors: Tensor, num_padded: Tensor
    ) -> None:
        """:meth:`finish` in place, on the lanes that the first half has left."""
        store_finished(buffers, self.finish(buffers, buffers.lanes, observation, vectors, num_padded))


def _is_running(lanes: LaneState, pool: CandidatePool) -> Tensor:
    """``[B]`` bool, the lanes that may move."""
    return lanes.is_busy & ~pool.is_held[lanes.candidate]


def store(buffers: LaneState, values: LaneState) -> None:
    """Copies new lanes into the buffers, whose addresses stay."""
    for buffer, value in zip(buffers, values, strict=True):
        if value is not buffer:
            buffer.copy_(value)


def store_finished(buffers: TickBuffers, finished: Finished) -> None:
    """Copies what a tick has come to into its buffers."""
    store(buffers.lanes, finished.lanes)
    buffers.first_lane.copy_(finished.first_lane)
    buffers.counters.add_(finished.counts)


class Tick(ABC):
    """The lanes of one bucket and what moves them."""

    def __init__(
        self, environment: EvalOnlyEnvCompiled, network: StateFeatures, buffers: TickBuffers
    ) -> None:
        """A tick that is not compiled.

        Args:
            environment: of the bucket.
            network: scores states.
            buffers: of the bucket.
        """
        self.environment = environment
        self.network = network
        self.buffers = buffers
        self.parts = TickParts(environment, network.logit_scale)
        self.score: Callable[[Tensor], Tensor] = network

    @abstractmethod
    def run(self) -> None:
        """Moves every lane by one step."""

    @abstractmethod
    def compile(self, compiler: Compiler) -> None:
        """Replaces what is run by what ``compiler`` makes of it."""

    def extra_tensors(self) -> list[Tensor]:
        """Static tensors beside the buffers, the graph's and the network's."""
        return []

    @torch.inference_mode()
    def drop(self, slots: Tensor) -> None:
        """Frees the lanes of the candidates in ``slots`` ``[n]`` int64."""
        candidate = self.buffers.lanes.candidate
        candidate.masked_fill_(torch.isin(candidate, slots), IDLE)

    def counts(self) -> dict[str, int]:
        """The counters by name."""
        return dict(zip(COUNTERS, self.buffers.counters.tolist(), strict=True))

    def _num_padded(self, number: int) -> int:
        """The number of rows with which the network gives each of ``number`` states the bits that it always has."""
        return self.network.padded_rows(number)


class WholeTick(Tick):
    """A tick as one function of its buffers, of fixed shape: it reads nothing back, and can be one graph.

    Attributes:
        whole: what is run, on the buffers; :meth:`move` or what a compiler has made of it.
        begin: its first part.
        finish: its last part; :attr:`score` is between them.
    """

    def __init__(
        self, environment: EvalOnlyEnvCompiled, network: StateFeatures, buffers: TickBuffers
    ) -> None:
        """See :class:`Tick`."""
        super().__init__(environment, network, buffers)
        self.begin: Callable[[TickBuffers], Begun] = self.parts.begin
        self.finish: Callable[..., Finished] = self.parts.finish
        self.whole: Callable[[TickBuffers], None] = self.move

    def run(self) -> None:
        """See :class:`Tick`."""
        self.whole(self.buffers)

    def move(self, buffers: TickBuffers) -> None:
        """Moves every lane of ``buffers`` by one step, in place."""
        begun = self.begin(buffers)
        observation = self._to_score(begun.observation)
        vectors = self.score(observation.states)
        num_padded = torch.full_like(buffers.first_lane, vectors.shape[0])
        store_finished(buffers, self.finish(buffers, begun.lanes, observation, vectors, num_padded))
        buffers.pool.head.copy_(begun.head)

    def _to_score(self, observation: EvalObs) -> EvalObs:
        """``observation`` with as many states as the network is given."""
        return observation

    def compile(self, compiler: Compiler) -> None:
        """See :class:`Tick`."""
        # One product for all rows: the compiler then has one copy of the network to deal with, not one a chunk.
        self.network.compute_whole(self.environment.capacities.num_states)
        self.whole = compiler(self.move)


class TrimmedTick(WholeTick):
    """A tick whose buffers follow the true counts, which are read back: for a CPU, and never compiled."""

    def _to_score(self, observation: EvalObs) -> EvalObs:
        number, width = observation.states.shape
        extra = self._num_padded(number) - number
        return observation._replace(
            states=torch.cat([observation.states, observation.states.new_zeros(extra, width)]),
            state_lane=torch.cat([observation.state_lane, observation.state_lane.new_zeros(extra)]),
        )


class SeparateTick(WholeTick):
    """A whole tick of which environment and network are compiled apart."""

    def compile(self, compiler: Compiler) -> None:
        """See :class:`Tick`."""
        self.network.compute_whole(self.environment.capacities.num_states)
        self.begin = compiler(self.begin)
        self.score = compiler(self.score)
        self.finish = compiler(self.finish)


class HalvedTick(Tick):
    """A tick in two halves of fixed shape, with the network between them on the states there are: their number is read
    back, which costs nothing on a CPU.

    Attributes:
        first: the half before the network; of :class:`TickParts`, or what a compiler has made of it.
        second: the half after it.
        vectors: ``[N, E]`` float, between the halves: the network's, of which the first so many are of this tick.
        num_padded: ``[]`` int64, so many.
    """

    def __init__(
        self, environment: EvalOnlyEnvCompiled, network: StateFeatures, buffers: TickBuffers
    ) -> None:
        """See :class:`Tick`."""
        super().__init__(environment, network, buffers)
        self.first: Callable[[TickBuffers], EvalObs] = self.parts.first_half
        self.second: Callable[[TickBuffers, EvalObs, Tensor, Tensor], None] = self.parts.second_half
        endf_feature = buffers.endf_feature
        self.vectors = endf_feature.new_zeros(environment.capacities.num_states, endf_feature.shape[0])
        self.num_padded = torch.zeros_like(buffers.first_lane)

    def run(self) -> None:
        """See :class:`Tick`."""
        observation = self.first(self.buffers)
        number = self._num_padded(int(observation.num_scored))
        self.vectors[:number] = self.score(observation.states[:number])
        self.num_padded.fill_(number)
        self.second(self.buffers, observation, self.vectors, self.num_padded)

    def compile(self, compiler: Compiler) -> None:
        """See :class:`Tick`."""
        self.first = compiler(self.first)
        self.second = compiler(self.second)

    def extra_tensors(self) -> list[Tensor]:
        """See :class:`Tick`."""
        return [self.vectors, self.num_padded]
