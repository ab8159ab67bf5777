"""One tick on static buffers: refill, observe, score, step, retire.

The parts are attributes that may be replaced by compiled versions of themselves (``core.evaluator.modes``). A tick is
one function of its buffers, or two halves between which the host looks how many states there are to score.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from proofrank.core.policy.features import RowFeatures, padded_rows
from proofrank.core.prover.environment import EvalOnlyEnvCompiled
from proofrank.core.prover.lanes import IDLE, CandidatePool, LaneShape, LaneState, idle_lanes
from proofrank.core.prover.observation import Capacities, EvalObs
from proofrank.core.prover.rows import rotation
from proofrank.core.prover.settings import ProverSettings
from proofrank.core.prover.vectorized import UnificationEngineVectorized

COUNTERS = (
    "ticks", "rows_expanded", "facts_checked", "states_scored", "states_padded", "lanes_busy", "lanes",
)  # fmt: skip


class Tick:
    """The lanes of one bucket and what moves them."""

    def __init__(
        self,
        engine: UnificationEngineVectorized,
        features: RowFeatures,
        settings: ProverSettings,
        capacities: Capacities,
        shape: LaneShape,
        pool: CandidatePool,
        first_variable: int,
        endf_feature: Tensor,
        *,
        is_trimming: bool,
        is_counting: bool = False,
    ) -> None:
        """Idle lanes for one bucket.

        Args:
            engine: resolves goals.
            features: the network.
            settings: of the prover.
            capacities: sizes of the buffers.
            shape: sizes of the lanes' tensors.
            pool: where candidates come from and outcomes go.
            first_variable: index of the first run-time variable.
            endf_feature: ``[E]``, the network's vector of ``[Endf]``.
            is_trimming: whether buffers follow the true counts.
            is_counting: whether the tick is run in halves: buffers keep their sizes, and the network computes no more
                rows than there are states.
        """
        device = engine.tables.device
        self.environment = EvalOnlyEnvCompiled(
            engine, settings, capacities, first_variable, is_trimming=is_trimming
        )
        self.features = features
        self.logit_scale = features.logit_scale
        self.lanes = idle_lanes(capacities.num_lanes, shape, device)
        self.pool = pool
        self.first_lane = torch.zeros((), dtype=torch.int64, device=device)
        self.counters = torch.zeros(len(COUNTERS), dtype=torch.int64, device=device)
        self.endf_feature = endf_feature
        self.is_counting = is_counting
        self._is_trimming = is_trimming
        # Between the halves: the network's vectors, of which the first so many are of this tick.
        num_vectors = capacities.num_states if is_counting else 0
        self.vectors = torch.zeros(num_vectors, shape.embedding_dim, device=device)
        self.num_padded = torch.zeros((), dtype=torch.int64, device=device)
        self.score: Callable[[Tensor], Tensor] = features
        self.begin: Callable[[LaneState, CandidatePool, Tensor], tuple[LaneState, Tensor, EvalObs]]
        self.finish: Callable[..., tuple[LaneState, Tensor, Tensor]]
        self.first_half: Callable[[LaneState, CandidatePool, Tensor], EvalObs]
        self.second_half: Callable[..., None]
        self.bind()

    def bind(self) -> None:
        """Sets the parts that no compiler has replaced, as methods of this object: a copy has to bind its own."""
        self.begin = self._begin
        self.finish = self._finish
        self.first_half = self._first_half
        self.second_half = self._second_half
        self.whole: Callable[..., None] = self.tick_in_halves if self.is_counting else self.tick_functional

    def run(self) -> None:
        """Moves every lane by one step."""
        self.whole(self.lanes, self.pool, self.first_lane, self.endf_feature, self.counters)

    def _padded(self, observation: EvalObs) -> EvalObs:
        """The observation with its states padded to a number of rows for which a row's bits are known to stay."""
        number, width = observation.states.shape
        extra = padded_rows(number, is_row_invariant=self.features.is_row_invariant) - number
        return observation._replace(
            states=torch.cat([observation.states, observation.states.new_zeros(extra, width)]),
            state_lane=torch.cat([observation.state_lane, observation.state_lane.new_zeros(extra)]),
        )

    def tick_functional(
        self,
        lanes: LaneState,
        pool: CandidatePool,
        first_lane: Tensor,
        endf_feature: Tensor,
        counters: Tensor,
    ) -> None:
        """The whole tick as one function, on its arguments, in place: what is compiled as one graph."""
        new_lanes, head, observation = self.begin(lanes, pool, first_lane)
        if self._is_trimming:
            observation = self._padded(observation)
        features = self.score(observation.states)
        num_padded = torch.full_like(first_lane, features.shape[0])
        finished = self.finish(new_lanes, pool, observation, features, num_padded, endf_feature, first_lane)
        self._store_finished(lanes, first_lane, counters, *finished)
        pool.head.copy_(head)

    def tick_in_halves(
        self,
        lanes: LaneState,
        pool: CandidatePool,
        first_lane: Tensor,
        endf_feature: Tensor,
        counters: Tensor,
    ) -> None:
        """The whole tick, in place, as two halves that may be compiled, with the network between them on the states
        there are: their number is read back, which costs nothing on a CPU."""
        observation = self.first_half(lanes, pool, first_lane)
        number = padded_rows(int(observation.num_scored), is_row_invariant=self.features.is_row_invariant)
        self.vectors[:number] = self.score(observation.states[:number])
        self.num_padded.fill_(number)
        self.second_half(
            lanes, pool, observation, self.vectors, self.num_padded, endf_feature, first_lane, counters
        )

    def _first_half(self, lanes: LaneState, pool: CandidatePool, first_lane: Tensor) -> EvalObs:
        """Refills the lanes and observes them, in place."""
        new_lanes, head, observation = self.begin(lanes, pool, first_lane)
        self._store(lanes, new_lanes)
        pool.head.copy_(head)
        return observation

    def _second_half(
        self,
        lanes: LaneState,
        pool: CandidatePool,
        observation: EvalObs,
        features: Tensor,
        num_padded: Tensor,
        endf_feature: Tensor,
        first_lane: Tensor,
        counters: Tensor,
    ) -> None:
        """Moves the lanes by what was observed and scored, in place."""
        finished = self.finish(lanes, pool, observation, features, num_padded, endf_feature, first_lane)
        self._store_finished(lanes, first_lane, counters, *finished)

    def _store_finished(
        self,
        lanes: LaneState,
        first_lane: Tensor,
        counters: Tensor,
        new_lanes: LaneState,
        new_first_lane: Tensor,
        counts: Tensor,
    ) -> None:
        """Puts what ``finish`` has returned, the last three, into the buffers."""
        self._store(lanes, new_lanes)
        first_lane.copy_(new_first_lane)
        counters.add_(counts)

    @staticmethod
    def _store(buffers: LaneState, values: LaneState) -> None:
        """Copies new lanes into the buffers, whose addresses stay."""
        for buffer, value in zip(buffers, values, strict=True):
            if value is not buffer:
                buffer.copy_(value)

    def _begin(
        self, lanes: LaneState, pool: CandidatePool, first_lane: Tensor
    ) -> tuple[LaneState, Tensor, EvalObs]:
        lanes, head = self.environment.refill(lanes, pool)
        return lanes, head, self.environment.observe(lanes, self._is_running(lanes, pool), first_lane)

    @staticmethod
    def _is_running(lanes: LaneState, pool: CandidatePool) -> Tensor:
        """``[B]`` bool, the lanes that may move."""
        return lanes.is_busy & ~pool.is_held[lanes.candidate]

    def _finish(
        self,
        lanes: LaneState,
        pool: CandidatePool,
        observation: EvalObs,
        features: Tensor,
        num_padded: Tensor,
        endf_feature: Tensor,
        first_lane: Tensor,
    ) -> tuple[LaneState, Tensor, Tensor]:
        """The lanes after the tick, the lane to admit first in the next, and what is added to the counters."""
        is_running = self._is_running(lanes, pool)
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
        depth, num_skipped = lanes.depth, lanes.num_skipped
        lanes, is_ended, success = self.environment.step_functional(
            lanes, observation, features, endf_feature, self.logit_scale, pool.recorded
        )
        is_waiting = is_running & ~is_ended & (lanes.depth == depth) & (lanes.num_skipped == num_skipped)
        num_lanes = is_running.shape[0]
        _, place = rotation(num_lanes, first_lane)
        # The first that had to wait goes first; where none did, the order stays.
        nearest = torch.where(is_waiting, place, num_lanes).amin() % num_lanes
        lanes = self.environment.retire(lanes, pool, is_ended, success)
        return lanes, (first_lane + nearest) % num_lanes, counts

    @torch.inference_mode()
    def drop(self, places: Tensor) -> None:
        """Frees the lanes of the candidates in ``places`` ``[n]`` int64."""
        self.lanes.candidate.masked_fill_(torch.isin(self.lanes.candidate, places), IDLE)

    def counts(self) -> dict[str, int]:
        """The counters by name."""
        return dict(zip(COUNTERS, self.counters.tolist(), strict=True))
