"""Evaluators of beams: several trajectories of each candidate instead of one.

:class:`BeamEvaluator` moves many candidates at once, each by one step of all its trajectories in a tick, on buffers
that follow the true counts, as ``eager`` does. :class:`BeamReferenceEvaluator` is the reference. Both are evaluators
like any other: an outcome has the candidate's score, and the actions of its best proof.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.base import check_exact, check_same_shape
from proofrank.core.evaluator.capacities import (
    check_capacities,
    check_countable,
    check_memory,
    choose_capacities,
    required_bytes,
)
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.reference import ReferenceEvaluator
from proofrank.core.evaluator.stream import Collected
from proofrank.core.evaluator.work import Work
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.policy.exported.features import features_of
from proofrank.core.policy.features import CHUNK_ROWS
from proofrank.core.policy.precision import matrix_products_in
from proofrank.core.prover import Candidate, Outcome, Outcomes, ProverSettings
from proofrank.core.prover.beam_lanes import (
    FAILED,
    FREE,
    OPEN,
    PROVED,
    BeamEnvironment,
    Found,
    Network,
    Taken,
)
from proofrank.core.prover.beam_reference import BeamReferenceProver
from proofrank.core.prover.beams import Beam, BeamOutcome, EndedTrajectory, has_fallen_behind, outcome_of
from proofrank.core.prover.lanes import NO_FACT, LaneShape, LaneState, idle_lanes
from proofrank.core.prover.observation import EvalObs
from proofrank.core.prover.packing import pack_atom
from proofrank.core.prover.state_sets import set_hash
from proofrank.core.prover.tables import build_tables
from proofrank.core.prover.vectorized import UnificationEngineVectorized

_LANE_COPIES = 4
"""Number of copies of the lanes that a tick holds at once, at most: those that keep still are apart from those that
move, which are gathered by the trajectory that each continues, and changed."""

_CHOICE_COLUMNS = 6
"""Number of 64-bit columns, with a number for each choice of each lane, that a tick holds at once, at most."""

_TICKS_AT_ONCE = 64
"""Number of ticks between two reports of progress of :meth:`BeamEvaluator.evaluate`."""


def _refuse_recorded(recorded_actions: object) -> None:
    if recorded_actions is not None:
        raise EvaluationError("recorded actions are of one trajectory; evaluate them without a beam")


class BeamReferenceEvaluator:
    """Evaluates with the reference of beams, one candidate after the other."""

    engine = "original"

    def __init__(self, reference: ReferenceEvaluator, beam: Beam) -> None:
        """The evaluator of beams with the graph, policy and settings of ``reference``, which it shares."""
        self.beam = beam
        self.reference = reference
        self._prover = BeamReferenceProver(reference.prover)

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Outcomes:
        """See :class:`proofrank.core.evaluator.base.Evaluator`; recorded actions are refused."""
        _refuse_recorded(recorded_actions)
        outcomes: list[Outcome] = []
        for candidate in candidates:
            outcomes.append(self.prove(candidate).outcome)
            if on_progress is not None:
                on_progress(len(outcomes))
        return Outcomes.of(outcomes)

    def prove(self, candidate: Candidate) -> BeamOutcome:
        """One candidate's trajectories."""
        return self._prover.prove(candidate, self.reference.scorer, self.beam)


@dataclass
class Asked:
    """A candidate that is in the evaluator.

    Attributes:
        slot: by which it is known.
        candidate: what to prove.
        policy: proves it.
        num_resolved: states resolved so far.
    """

    slot: int
    candidate: Candidate
    policy: Policy
    num_resolved: int = 0


class BeamEvaluator:
    """Evaluates the beams of many candidates at once, as an evaluator and as a stream; see the module.

    Attributes:
        buckets: numbers of candidates that may move at once, ascending.
    """

    engine = "eager"

    def __init__(
        self,
        dataset: Dataset,
        policy: Policy,
        settings: ProverSettings,
        beam: Beam,
        options: EvaluatorOptions | None = None,
    ) -> None:
        """Makes an evaluator without candidates.

        Args:
            dataset: the graph.
            policy: must fit it.
            settings: of the prover.
            beam: how many trajectories a candidate has, and how their proofs make a score.
            options: where it computes and how large it is. As many candidates move at once as have lanes for all their
                trajectories in a bucket, at least one.

        Raises:
            PolicyError: the policy does not fit the graph.
            EvaluationError: the graph or the settings cannot be evaluated exactly, or the buffers do not fit into
                memory.
        """
        options = options if options is not None else EvaluatorOptions()
        check_exact(dataset, policy, settings)
        self.beam = beam
        self.settings = settings
        self.device = options.device
        self.buckets = tuple(sorted({max(1, lanes // beam.width) for lanes in options.buckets}))
        self._dataset = dataset
        self._policy = policy
        self._pool_size = options.pool_size
        with matrix_products_in(options.precision):
            self._features = features_of(policy.model, options.precision).to(self.device)
        self._features.settle(policy.model)
        tables = build_tables(dataset, self.device)
        self._shape = LaneShape.of(settings, tables.longest_body, policy.shape.embedding_dim)
        endf_atom = pack_atom(dataset.vocabulary.endf_index, 0, 0)
        num_lanes = self.buckets[-1] * beam.width
        self._capacities = choose_capacities(num_lanes, tables, settings, options.per_lane)
        check_capacities(self._capacities, tables, settings)
        self._longest_body = tables.longest_body
        wanted = f"a beam of {beam.width} with {self.buckets[-1]} candidates at once"
        check_memory(self.required_bytes, wanted, self.device, options.memory_share)
        check_countable(self._capacities)
        self._environment = BeamEnvironment(
            UnificationEngineVectorized(tables, self._shape.working_atoms),
            settings,
            self._capacities,
            dataset.vocabulary.first_variable_index,
            is_trimming=True,
            endf_of_pairs=endf_atom if self._features.is_pairwise else None,
        )
        self._endf_states = torch.zeros(
            CHUNK_ROWS, self._shape.working_atoms, dtype=torch.int64, device=self.device
        )
        self._endf_states[:, 0] = endf_atom
        self._network = self._network_now()
        self._reference: BeamReferenceEvaluator | None = None
        self._waiting: deque[Asked] = deque()
        self._running: list[Asked] = []
        self._lanes = idle_lanes(0, self._shape, self.device)
        self._status = torch.zeros(0, beam.width, dtype=torch.int64, device=self.device)
        self._done: dict[int, BeamOutcome | EvaluationError] = {}
        self._next_slot = 0
        self._counts: Counter[str] = Counter()

    @property
    def required_bytes(self) -> int:
        """Memory of the largest bucket, estimated from above; buffers follow the true counts, which are not more."""
        choices = self._capacities.num_lanes * (self.settings.padding_states + 1)
        return choices * 8 * _CHOICE_COLUMNS + required_bytes(
            self._capacities,
            self._shape,
            self._longest_body,
            self._policy.shape.hidden_dim,
            lane_copies=_LANE_COPIES,
        )

    @property
    def work(self) -> Work:
        """Work so far. Busy lanes are trajectories under way; all lanes are those of running candidates."""
        return Work.total([self._counts])

    @property
    def num_free_slots(self) -> int:
        """How many candidates can be submitted now."""
        return self._pool_size - self.num_in_flight

    @property
    def num_in_flight(self) -> int:
        """How many submitted candidates have not been collected."""
        return len(self._waiting) + len(self._running) + len(self._done)

    def load_policy(self, policy: Policy) -> None:
        """See :meth:`proofrank.core.evaluator.CompiledEvaluator.load_policy`."""
        if policy is self._policy:
            return
        policy.check_fits(self._dataset)
        check_same_shape(policy, self._policy)
        self._policy = policy
        self._features.load(policy.model)
        self._network = self._network_now()

    @torch.inference_mode()
    def _network_now(self) -> Network:
        """The network with the loaded policy's weights."""
        endf_feature = torch.zeros(self._shape.embedding_dim, device=self.device)
        if not self._features.is_pairwise:
            with matrix_products_in(self._features.precision):
                endf_feature = self._features(self._endf_states)[0].clone()
        return Network(self._vectors, endf_feature, self._features.logit_scale)

    def _vectors(self, states: Tensor) -> Tensor:
        """The vectors of ``states``, with those of the rows by which they are padded."""
        extra = self._features.padded_rows(len(states)) - len(states)
        return self._features(torch.cat([states, states.new_zeros(extra, states.shape[1])]))

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Outcomes:
        """See :class:`proofrank.core.evaluator.base.Evaluator`; recorded actions are refused."""
        _refuse_recorded(recorded_actions)
        return Outcomes.of([one.outcome for one in self.prove(candidates, on_progress=on_progress)])

    def prove(
        self, candidates: Sequence[Candidate], *, on_progress: Callable[[int], None] | None = None
    ) -> list[BeamOutcome]:
        """The trajectories of each candidate, in order.

        Raises:
            EvaluationError: submitted candidates are in flight, or one cannot be evaluated exactly.
        """
        if self.num_in_flight:
            raise EvaluationError(
                f"{self.num_in_flight} submitted candidates are in flight; collect them first"
            )
        outcomes: dict[int, BeamOutcome] = {}
        first_slot, num_submitted = self._next_slot, 0
        try:
            while len(outcomes) < len(candidates):
                batch = candidates[num_submitted : num_submitted + self.num_free_slots]
                self.submit(batch)
                num_submitted += len(batch)
                self.advance(_TICKS_AT_ONCE)
                for slot, outcome in self._taken_out().items():
                    if isinstance(outcome, EvaluationError):
                        raise outcome
                    outcomes[slot - first_slot] = outcome
                if on_progress is not None:
                    on_progress(len(outcomes))
        except BaseException:
            self.cancel(range(first_slot, self._next_slot))
            raise
        return [outcomes[index] for index in range(len(candidates))]

    def submit(self, candidates: Sequence[Candidate]) -> list[int]:
        """See :class:`proofrank.core.evaluator.stream.CandidateStream`."""
        if len(candidates) > self.num_free_slots:
            raise EvaluationError(f"{len(candidates)} candidates for {self.num_free_slots} free slots")
        slots = list(range(self._next_slot, self._next_slot + len(candidates)))
        self._next_slot += len(candidates)
        self._waiting.extend(
            Asked(slot, candidate, self._policy) for slot, candidate in zip(slots, candidates, strict=True)
        )
        return slots

    def collect(self) -> Collected:
        """See :class:`proofrank.core.evaluator.stream.CandidateStream`."""
        return Collected.of(
            (slot, outcome if isinstance(outcome, EvaluationError) else outcome.outcome)
            for slot, outcome in self._taken_out().items()
        )

    def _taken_out(self) -> dict[int, BeamOutcome | EvaluationError]:
        done, self._done = self._done, {}
        return done

    @torch.inference_mode()
    def cancel(self, slots: Collection[int]) -> None:
        """See :class:`proofrank.core.evaluator.stream.CandidateStream`."""
        gone = set(slots)
        self._waiting = deque(asked for asked in self._waiting if asked.slot not in gone)
        self._keep([asked.slot not in gone for asked in self._running])
        for slot in gone:
            self._done.pop(slot, None)

    @torch.inference_mode()
    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        """See :class:`proofrank.core.evaluator.stream.CandidateStream`.

        A tick is a step of every candidate; ``num_lanes`` is how many candidates move at once, one of ``buckets``.
        """
        with matrix_products_in(self._features.precision):
            for _ in range(num_ticks):
                self._begin_waiting(self.buckets[-1] if num_lanes is None else num_lanes, only)
                moves = [self._may_move(asked, only) for asked in self._running]
                if not any(moves):
                    return
                self._tick(moves)

    def _may_move(self, asked: Asked, only: Collection[int] | None) -> bool:
        return asked.policy is self._policy and (only is None or asked.slot in only)

    def _begin_waiting(self, num_beams: int, only: Collection[int] | None) -> None:
        """Gives lanes to candidates that wait, in their order, while there are fewer than ``num_beams``."""
        begun: list[Asked] = []
        left: deque[Asked] = deque()
        num_running = sum(self._may_move(asked, only) for asked in self._running)
        while self._waiting and num_running + len(begun) < num_beams:
            asked = self._waiting.popleft()
            (begun if self._may_move(asked, only) else left).append(asked)
        self._waiting.extendleft(reversed(left))
        if not begun:
            return
        width = self.beam.width
        lanes = idle_lanes(len(begun) * width, self._shape, self.device)
        atoms = torch.tensor([pack_atom(*asked.candidate.triple) for asked in begun], device=self.device)
        is_positive = torch.tensor([asked.candidate.is_positive for asked in begun], device=self.device)
        lanes.atoms[::width, 0] = atoms
        lanes.observed[::width, 0] = atoms
        lanes.excluded.copy_(torch.where(is_positive, atoms, NO_FACT).repeat_interleave(width))
        lanes.next_variable.fill_(self._dataset.vocabulary.first_variable_index)
        # The query's state counts as visited from the start.
        lanes.visited_hash[::width, 0] = set_hash(lanes.atoms[::width])
        lanes.visited_atoms[::width, 0] = lanes.atoms[::width]
        lanes.num_visited[::width] = 1
        status = torch.full((len(begun), width), FREE, device=self.device)
        status[:, 0] = OPEN
        self._running += begun
        self._lanes = _joined(self._lanes, lanes)
        self._status = torch.cat([self._status, status])

    def _keep(self, is_kept: Sequence[bool]) -> tuple[LaneState, Tensor]:
        """Keeps the lanes of those candidates alone; returns what is left out."""
        if all(is_kept):
            return self._part([]), self._status[:0]
        kept, left_out = (
            [place for place, flag in enumerate(is_kept) if bool(flag) is wanted] for wanted in (True, False)
        )
        others = self._part(left_out), self._status[left_out]
        self._lanes, self._status = self._part(kept), self._status[kept]
        self._running = [self._running[place] for place in kept]
        return others

    def _part(self, places: Sequence[int]) -> LaneState:
        width = self.beam.width
        first = torch.tensor(places, dtype=torch.int64, device=self.device) * width
        index = (first.unsqueeze(1) + torch.arange(width, device=self.device)).flatten()
        return LaneState(*(tensor[index] for tensor in self._lanes))

    def _tick(self, moves: Sequence[bool]) -> None:
        """Moves the candidates that may move by one step of all their trajectories."""
        still = [asked for asked, moving in zip(self._running, moves, strict=True) if not moving]
        lanes_still, status_still = self._keep(moves)
        self._move()
        self._finish()
        self._running = still + self._running
        self._lanes = _joined(lanes_still, self._lanes)
        self._status = torch.cat([status_still, self._status])

    def _move(self) -> None:
        environment, status = self._environment, self._status
        is_open = status == OPEN
        lanes, found = environment.find_actions(self._lanes, is_open.flatten(), self._network, self._count)
        status = torch.where(is_open & found.is_stuck.view_as(status), FAILED, status)
        is_open = status == OPEN
        for asked, number in zip(self._running, is_open.sum(dim=1).tolist(), strict=True):
            asked.num_resolved += number
        largest_logit = lanes.largest_logit.view_as(status).amax(dim=1)
        num_free = self.beam.width - (status >= FAILED).sum(dim=1)
        taken = self._take(lanes, found, is_open, num_free, largest_logit)
        # A trajectory that is dropped may have met what must be known of its candidate.
        is_odd = [
            flags.view_as(status).any(dim=1).tolist() for flags in (lanes.is_ambiguous, lanes.is_broken)
        ]
        self._counts["lanes"] += status.numel()
        self._lanes, self._status = environment.continue_with(lanes, status, found, taken, largest_logit)
        for asked, is_ambiguous, is_broken in zip(self._running, *is_odd, strict=True):
            if is_ambiguous:
                self._done[asked.slot] = self._prove_again(asked)
            elif is_broken:
                names = self._dataset.names(asked.candidate.triple)
                self._done[asked.slot] = EvaluationError(
                    f"candidate {names}: the policy gave a logit that is not finite"
                )

    def _take(
        self, lanes: LaneState, found: Found, is_open: Tensor, num_free: Tensor, largest_logit: Tensor
    ) -> Taken:
        """The continuations that are taken; see :meth:`BeamEnvironment.take_best`."""
        return self._environment.take_best(lanes, found, is_open, num_free, largest_logit)

    def _count(self, observation: EvalObs, num_padded: int) -> None:
        self._counts.update(
            ticks=1,
            rows_expanded=int(observation.num_rows),
            facts_checked=int(observation.num_checks),
            states_scored=int(observation.num_scored),
            states_padded=num_padded,
            lanes_busy=int((self._status == OPEN).sum()),
        )

    def _finish(self) -> None:
        """Takes out the candidates that are done, and those that have fallen behind."""
        status = self._status.tolist()
        sums = self._lanes.log_probability.view_as(self._status).tolist()
        is_pruned = [
            OPEN in own and self._has_fallen_behind(asked.candidate, own, own_sums)
            for asked, own, own_sums in zip(self._running, status, sums, strict=True)
        ]
        is_done = [
            OPEN not in own or pruned or asked.slot in self._done
            for asked, own, pruned in zip(self._running, status, is_pruned, strict=True)
        ]
        if not any(is_done):
            return
        done = [
            (asked, pruned)
            for asked, pruned, flag in zip(self._running, is_pruned, is_done, strict=True)
            if flag
        ]
        lanes, own_status = self._keep([not flag for flag in is_done])
        columns = [
            column.view(*own_status.shape, *column.shape[1:]).tolist()
            for column in (
                lanes.log_probability,
                lanes.depth,
                lanes.actions,
                lanes.passes_near_tie,
                lanes.largest_logit,
            )
        ]
        for (asked, pruned), own, *of_lanes in zip(done, own_status.tolist(), *columns, strict=True):
            if asked.slot in self._done:
                continue
            trajectories = [
                EndedTrajectory(kind == PROVED, total, tuple(actions[:depth]), near_tie)
                for is_open in (False, True)  # what is ended early comes last
                for kind, total, depth, actions, near_tie, _ in zip(own, *of_lanes, strict=True)
                if kind != FREE and (kind == OPEN) is is_open
            ]
            self._done[asked.slot] = outcome_of(
                trajectories,
                self.beam,
                num_resolved=asked.num_resolved,
                largest_logit=max(
                    largest for kind, largest in zip(own, of_lanes[-1], strict=True) if kind != FREE
                ),
                is_pruned=pruned,
            )

    def _has_fallen_behind(self, candidate: Candidate, status: list[int], sums: list[float]) -> bool:
        of_kind: dict[int, list[float]] = {FREE: [], OPEN: [], FAILED: [], PROVED: []}
        for kind, total in zip(status, sums, strict=True):
            of_kind[kind].append(total)
        return has_fallen_behind(
            candidate, self.beam, proved=of_kind[PROVED], failed=of_kind[FAILED], open_=of_kind[OPEN]
        )

    def _prove_again(self, asked: Asked) -> BeamOutcome | EvaluationError:
        """The outcome by the reference, where two states of one hash were met."""
        if self._reference is None or self._reference.reference.policy is not asked.policy:
            reference = ReferenceEvaluator(self._dataset, asked.policy, self.settings)
            self._reference = BeamReferenceEvaluator(reference, self.beam)
        try:
            return self._reference.prove(asked.candidate)
        except EvaluationError as error:
            return error


def _joined(first: LaneState, second: LaneState) -> LaneState:
    if not len(first.candidate):
        return second
    if not len(second.candidate):
        return first
    return LaneState(*(torch.cat(pair) for pair in zip(first, second, strict=True)))
