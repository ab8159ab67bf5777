"""The vectorised evaluator: static buffers, one tick that may be compiled, and a stream through them.

``CompiledEvaluator`` owns, for the life of the process, the pool of candidates (``_input_buffer``) and the lanes of
each bucket. Candidates of any number are copied into the pool and stream through the lanes; a tick moves every lane
by one step and gives freed lanes to those that wait. Besides :meth:`CompiledEvaluator.evaluate` for a whole batch there
is the stream that a scheduler needs: submit, advance by some ticks, collect what is finished, cancel.

Where ticks are recorded (``core.evaluator.graphs``), a whole batch runs without waiting for the device: candidates are
copied in and outcomes copied out behind the ticks, and the host works on what was done one replay before.

An evaluator belongs to the thread that makes it: that thread's stream of the device is the order of all that happens.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.exc import InductorError, InvalidCxxCompiler

from core.errors import EvaluationError
from core.evaluator.artifacts import ArtifactCache, default_cache_folder, first_of_error
from core.evaluator.base import check_enough_variables
from core.evaluator.capacities import (
    DEFAULT_BUCKETS,
    FROM_THE_GRAPH,
    Demand,
    PerLane,
    check_capacities,
    check_memory,
    choose_capacities,
    required_bytes,
)
from core.evaluator.graphs import CallingRecorder, GraphRecorder, RecordedTicks
from core.evaluator.modes import Mode, compile_tick
from core.evaluator.original import OriginalEvaluator
from core.evaluator.packages import PackageCache, PackageError
from core.evaluator.snapshots import PoolOutcomes, Snapshot, Snapshots
from core.evaluator.tick import Tick
from core.evaluator.tick_program import tensors_of
from core.graph import Dataset
from core.policy import Policy
from core.policy.features import CHUNK_ROWS, RowFeatures
from core.policy.precision import check_precision, matrix_products_in
from core.prover import Candidate, Outcome, ProverSettings, first_of_the_best, recorded
from core.prover.environment import Capacities
from core.prover.lanes import NO_FACT, NOT_RECORDED, CandidatePool, LaneShape, empty_pool
from core.prover.packing import check_packable, pack_atom
from core.prover.tables import build_tables
from core.prover.vectorized import UnificationEngineVectorized

logger = logging.getLogger("proofrank")

POOL_SIZE = 16384
TICKS_PER_LOOK = 4
"""Ticks between two looks at what is done: a look costs a little, a late look leaves lanes idle."""


_NEVER = np.iinfo(np.int64).max
"""In the place of the first snapshot that tells of a place, where it has no candidate."""


class _Submitted(NamedTuple):
    """A candidate in the pool, the policy that proves it, and the actions that it must take, if any."""

    candidate: Candidate
    policy: Policy
    recorded_actions: Sequence[int] | None


@dataclass(frozen=True)
class Work:
    """Counters of what was done since the evaluator was made.

    Attributes:
        ticks: ticks.
        rows_expanded: resolvents built.
        facts_checked: facts looked at for immediate proofs, beyond those.
        states_scored: states that the network was applied to.
        states_padded: rows that the network was applied to, padding included.
        lanes_busy: sum over the ticks of the lanes with a candidate.
        lanes: sum over the ticks of all lanes.
    """

    ticks: int = 0
    rows_expanded: int = 0
    facts_checked: int = 0
    states_scored: int = 0
    states_padded: int = 0
    lanes_busy: int = 0
    lanes: int = 0

    @property
    def padding_waste(self) -> float:
        """Share of the network's rows that were padding."""
        return 1 - self.states_scored / self.states_padded if self.states_padded else 0.0

    def __add__(self, other: Work) -> Work:
        """What was done in both."""
        names = [field.name for field in dataclasses.fields(self)]
        return Work(**{name: getattr(self, name) + getattr(other, name) for name in names})


class CompiledEvaluator:
    """Evaluates many candidates at once; see the module."""

    def __init__(
        self,
        dataset: Dataset,
        policy: Policy,
        settings: ProverSettings,
        *,
        compile_mode: str = "eager",
        fullgraph: bool = True,
        device: torch.device | str = "cpu",
        buckets: Sequence[int] = DEFAULT_BUCKETS,
        per_lane: PerLane = FROM_THE_GRAPH,
        pool_size: int = POOL_SIZE,
        cache_folder: Path | None = None,
        precision: str = "float32",
        demand: Demand | None = None,
        ticks_per_look: int = TICKS_PER_LOOK,
    ) -> None:
        """Builds tables and buffers; compiles nothing before :meth:`warm_up` or first use.

        Args:
            dataset: the graph.
            policy: must fit it.
            settings: of the prover.
            compile_mode: one of ``core.evaluator.modes.COMPILE_MODES``.
            fullgraph: whether the compiler must take the tick as one graph.
            device: where everything is computed.
            buckets: numbers of lanes; the smallest that fits is used.
            per_lane: sizes of the buckets' buffers.
            pool_size: places of the pool.
            cache_folder: where compiled artifacts are kept; ``default_cache_folder()`` if it is None.
            precision: of the network's matrix products, one of ``core.policy.precision.PRECISIONS``.
            demand: what lanes ask for on average, as calibration found it; buffers are fitted to it where ``per_lane``
                does not set them.
            ticks_per_look: ticks between two looks at what is done; where ticks are recorded, those of one replay.

        Raises:
            PolicyError: the policy does not fit the graph.
            EvaluationError: the graph or the settings cannot be evaluated exactly, or the buffers do not fit into
                memory.
        """
        if ticks_per_look < 1:
            raise EvaluationError(f"ticks_per_look is {ticks_per_look}; expected 1 or more")
        check_precision(precision, torch.device(device))
        policy.check_fits(dataset)
        check_packable(dataset, policy.network.config.max_variables)
        check_enough_variables(dataset, policy, settings, settings.max_resolutions_per_step)
        self.mode = Mode.of(compile_mode, fullgraph=fullgraph, device=torch.device(device))
        self.engine = self.mode.engine
        self.compile_mode = compile_mode
        self.fullgraph = fullgraph
        self.device = torch.device(device)
        self.settings = settings
        self.ticks_per_look = ticks_per_look
        self._dataset = dataset
        self._policy = policy
        with matrix_products_in(precision):
            self._features = RowFeatures(policy.network, precision).to(self.device)
        self._tables = build_tables(dataset, self.device)
        self._shape = LaneShape.of(settings, self._tables.longest_body, policy.network.config.embedding_dim)
        self._unification = UnificationEngineVectorized(self._tables, self._shape.working_atoms)
        self._capacities = {
            num_lanes: choose_capacities(num_lanes, self._tables, settings, per_lane, demand)
            for num_lanes in sorted(buckets)
        }
        for capacities in self._capacities.values():
            check_capacities(capacities, self._tables, settings)
        check_memory(self.required_bytes, f"buckets of {', '.join(map(str, buckets))} lanes", self.device)
        self._input_buffer: CandidatePool = empty_pool(pool_size, settings.max_depth, self.device)
        self._free = deque(range(pool_size))
        self._num_queued = 0
        self._submitted: dict[int, _Submitted] = {}
        self._num_of_policy: Counter[int] = Counter()
        self._held: Set[int] = frozenset()
        self._ticks: dict[int, Tick] = {}
        self._recorded_ticks: dict[int, RecordedTicks] = {}
        self._recorder = GraphRecorder(self.device) if self._captures_graphs else CallingRecorder()
        self._snapshots = Snapshots(self._input_buffer) if self.mode.is_recorded else None
        self._first_snapshot = np.full(pool_size, _NEVER, dtype=np.int64)
        self._reference: OriginalEvaluator | None = None
        self._endf_states = torch.zeros(
            CHUNK_ROWS, self._shape.working_atoms, dtype=torch.int64, device=self.device
        )
        self._endf_states[:, 0] = pack_atom(dataset.vocabulary.endf_index, 0, 0)
        self._endf_feature = torch.zeros(self._shape.embedding_dim, device=self.device)
        self._policy_changed()
        cache_folder = cache_folder if cache_folder is not None else default_cache_folder()
        self._artifacts = ArtifactCache(cache_folder)
        self._packages = PackageCache(cache_folder)

    @property
    def _captures_graphs(self) -> bool:
        return self.mode.is_recorded and self.device.type == "cuda"

    @property
    def buckets(self) -> tuple[int, ...]:
        """Numbers of lanes of the buckets, ascending."""
        return tuple(self._capacities)

    @property
    def capacities(self) -> Mapping[int, Capacities]:
        """Number of lanes -> sizes of that bucket's buffers, ascending."""
        return self._capacities

    @property
    def required_bytes(self) -> int:
        """Memory of all buckets, estimated from above."""
        body, hidden = self._tables.longest_body, self._policy.network.config.hidden_dim
        return sum(
            required_bytes(capacities, self._shape, body, hidden) for capacities in self._capacities.values()
        )

    @property
    def num_free_places(self) -> int:
        """How many candidates can be submitted now."""
        return len(self._free)

    @property
    def num_in_flight(self) -> int:
        """How many submitted candidates have not been collected."""
        return len(self._submitted)

    @property
    def flops_per_state(self) -> int:
        """Multiplications and additions of the network for one state."""
        return self._features.flops_per_state()

    @property
    def work(self) -> Work:
        """What was done so far, over all buckets."""
        totals = [tick.counts() for tick in self._ticks.values()]
        fields = [field.name for field in dataclasses.fields(Work)]
        return Work(**{name: sum(total[name] for total in totals) for name in fields})

    def load_policy(self, policy: Policy) -> None:
        """Puts another policy of the same shape into the same buffers, for what is submitted from now on.

        Candidates that were submitted under another policy keep still until that is loaded again.

        Raises:
            PolicyError: it does not fit the graph.
            EvaluationError: its shape is another.
        """
        if policy is self._policy:
            return
        policy.check_fits(self._dataset)
        if policy.network.config != self._policy.network.config:
            raise EvaluationError(
                f"policy {policy.name!r} has another shape than {self._policy.name!r}; make a new evaluator for it"
            )
        self._policy = policy
        self._features.load(policy.network)
        self._policy_changed()
        self._hold_others(self._submitted)

    @torch.inference_mode()
    def _policy_changed(self) -> None:
        """Computes anew what depends on the policy alone."""
        with matrix_products_in(self._features.precision):
            self._endf_feature.copy_(self._features(self._endf_states)[0])

    def warm_up(self, on_bucket: Callable[[int], None] | None = None) -> None:
        """Compiles and runs the tick of every bucket once.

        Args:
            on_bucket: told the number of lanes of each bucket before its turn.
        """
        for num_lanes in self.buckets:
            if on_bucket is not None:
                on_bucket(num_lanes)
            self._run([Candidate(self._dataset.splits["train"][0], is_positive=True)], None, None, num_lanes)

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Outcome]:
        """See :class:`core.evaluator.base.Evaluator`."""
        if self._submitted:
            raise EvaluationError(
                f"{len(self._submitted)} submitted candidates are in flight; collect them first"
            )
        if not candidates:
            return []
        num_lanes = next((size for size in self.buckets if size >= len(candidates)), self.buckets[-1])
        return self._run(candidates, recorded_actions, on_progress, num_lanes)

    def _run(
        self,
        candidates: Sequence[Candidate],
        recorded_actions: Sequence[Sequence[int]] | None,
        on_progress: Callable[[int], None] | None,
        num_lanes: int,
    ) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(candidates)
        index_of_place: dict[int, int] = {}
        num_submitted = num_done = 0
        try:
            while num_done < len(candidates):
                number = min(len(self._free), len(candidates) - num_submitted)
                if number:
                    batch = range(num_submitted, num_submitted + number)
                    places = self.submit(
                        [candidates[index] for index in batch],
                        None if recorded_actions is None else [recorded_actions[index] for index in batch],
                    )
                    index_of_place.update(zip(places, batch, strict=True))
                    num_submitted += number
                self.advance(self.ticks_per_look, num_lanes)
                for place, outcome in self._look():
                    if isinstance(outcome, EvaluationError):
                        raise outcome
                    outcomes[index_of_place.pop(place)] = outcome
                    num_done += 1
                if on_progress is not None:
                    on_progress(num_done)
        except BaseException:
            self.cancel(list(self._submitted))
            raise
        return [outcome for outcome in outcomes if outcome is not None]

    @torch.inference_mode()
    def submit(
        self, candidates: Sequence[Candidate], recorded_actions: Sequence[Sequence[int]] | None = None
    ) -> list[int]:
        """Puts candidates into the pool, to be proved after those before them.

        Args:
            candidates: at most ``num_free_places``.
            recorded_actions: for each the actions to take instead of the policy's choice.

        Returns:
            The place of each, by which it is collected or cancelled.

        Raises:
            EvaluationError: there are more than free places, or recorded actions than steps.
        """
        if len(candidates) > len(self._free):
            raise EvaluationError(f"{len(candidates)} candidates for {len(self._free)} free places")
        actions = self._recorded(len(candidates), recorded_actions)
        if not candidates:
            return []
        atoms = torch.tensor([pack_atom(*candidate.triple) for candidate in candidates])
        is_positive = torch.tensor([candidate.is_positive for candidate in candidates])
        pool = self._input_buffer
        places = [self._free.popleft() for _ in candidates]
        index = self._on_device(torch.tensor(places))
        pool.atom[index] = self._on_device(atoms)
        pool.excluded[index] = self._on_device(torch.where(is_positive, atoms, NO_FACT))
        pool.is_done.index_fill_(0, index, False)
        pool.is_held.index_fill_(0, index, False)
        pool.recorded[index] = self._on_device(actions)
        turn = (self._num_queued + torch.arange(len(places))) % pool.size
        pool.queue[self._on_device(turn)] = index
        self._num_queued += len(places)
        pool.tail.fill_(self._num_queued)
        if self._snapshots is not None:
            self._first_snapshot[places] = self._snapshots.num_taken
        policy = self._policy
        for number, place in enumerate(places):
            given = None if recorded_actions is None else tuple(recorded_actions[number])
            self._submitted[place] = _Submitted(candidates[number], policy, given)
        self._num_of_policy[id(policy)] += len(places)
        return places

    def _on_device(self, values: Tensor) -> Tensor:
        """``values`` of the host on the device, without waiting for it."""
        if self.device.type != "cuda":
            return values.to(self.device)
        return values.pin_memory().to(self.device, non_blocking=True)

    def _forget(self, place: int) -> _Submitted:
        """Frees the place of a candidate."""
        submitted = self._submitted.pop(place)
        self._num_of_policy[id(submitted.policy)] -= 1
        if not self._num_of_policy[id(submitted.policy)]:
            del self._num_of_policy[id(submitted.policy)]
        self._first_snapshot[place] = _NEVER
        self._free.append(place)
        return submitted

    def _recorded(self, number: int, recorded_actions: Sequence[Sequence[int]] | None) -> Tensor:
        """Recorded actions as ``[number, T]`` int64."""
        table = torch.full((number, self.settings.max_depth), NOT_RECORDED)
        for row, actions in enumerate(recorded_actions or ()):
            if len(actions) > self.settings.max_depth:
                raise EvaluationError(
                    f"{len(actions)} recorded actions of a trajectory of at most {self.settings.max_depth} steps"
                )
            # A step past the end of the record is an error, and so is an action that cannot exist.
            table[row] = NOT_RECORDED - 1
            taken = torch.tensor(list(actions), dtype=torch.int64)
            table[row, : len(actions)] = torch.where(taken < 0, NOT_RECORDED - 1, taken)
        return table

    @torch.inference_mode()
    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        """Runs ticks.

        Args:
            num_ticks: how many.
            num_lanes: of the bucket; the largest by default.
            only: the places whose candidates move; the others keep still. All that were submitted under the loaded
                policy by default.
        """
        with matrix_products_in(self._features.precision):
            ticks = self._ticks_of(num_lanes if num_lanes is not None else self.buckets[-1])
            self._hold_others(self._submitted if only is None else only)
            ticks.advance(num_ticks)

    @torch.inference_mode()
    def _hold_others(self, moving: Collection[int]) -> None:
        """Lets the candidates in ``moving`` move that the loaded policy has to prove, and no others."""
        if moving is self._submitted and self._num_of_policy[id(self._policy)] == len(self._submitted):
            held: Set[int] = frozenset()
        else:
            running = {
                place
                for place in moving
                if place in self._submitted and self._submitted[place].policy is self._policy
            }
            held = self._submitted.keys() - running
        if held == self._held:
            return
        self._held = held
        is_held = self._input_buffer.is_held
        is_held.zero_()
        is_held.index_fill_(0, self._on_device(torch.tensor(sorted(held), dtype=torch.int64)), True)

    @torch.inference_mode()
    def collect(self) -> list[tuple[int, Outcome | EvaluationError]]:
        """Takes out the candidates that are done, with their places.

        Returns:
            For each its outcome; or the error, where a logit was not finite or recorded actions could not be followed,
            which concerns that candidate alone.
        """
        pool = self._input_buffer
        places = [
            place
            for place in torch.nonzero(pool.is_done[:-1]).squeeze(1).tolist()
            if place in self._submitted
        ]
        if not places:
            return []
        index = self._on_device(torch.tensor(places))
        done = PoolOutcomes(*(column[index] for column in PoolOutcomes.of(pool)))
        pool.is_done.index_fill_(0, index, False)
        return self._taken_out(places, done)

    def _look(self) -> list[tuple[int, Outcome | EvaluationError]]:
        """Takes out what is done; where ticks are recorded, what was done one look before, without waiting for more."""
        if self._snapshots is None:
            return self.collect()
        self._snapshots.take()
        snapshot = self._snapshots.before_last()
        return [] if snapshot is None else self._collect_from(snapshot)

    def _collect_from(self, snapshot: Snapshot) -> list[tuple[int, Outcome | EvaluationError]]:
        """Takes out the candidates that ``snapshot`` shows as done.

        Of a place that was given to another candidate since, it shows the one before, and is not asked.
        """
        outcomes = snapshot.outcomes
        is_done = outcomes.is_done[:-1].numpy() & (self._first_snapshot <= snapshot.number)
        places = np.nonzero(is_done)[0]
        index = torch.from_numpy(places)
        return self._taken_out(places.tolist(), PoolOutcomes(*(column[index] for column in outcomes)))

    def _taken_out(
        self, places: Sequence[int], done: PoolOutcomes
    ) -> list[tuple[int, Outcome | EvaluationError]]:
        """The outcomes of the candidates in ``places``, which are freed; ``done`` has a row for each."""
        collected: list[tuple[int, Outcome | EvaluationError]] = []
        rows = zip(*(column.tolist() for column in done), strict=True)
        for place, row in zip(places, rows, strict=True):
            _, success, log_probability, steps, actions, near_tie, largest_logit, is_ambiguous, is_broken = (
                row
            )
            submitted = self._forget(place)
            if is_ambiguous:
                # First, for a state that was mistaken for another may lack an action of the record.
                collected.append((place, self._prove_again(submitted)))
            elif is_broken:
                collected.append((place, self._broken(submitted.candidate)))
            else:
                outcome = Outcome(
                    success=success,
                    log_probability=log_probability,
                    steps=steps,
                    actions=tuple(actions[:steps]),
                    passes_near_tie=near_tie,
                    largest_logit=largest_logit,
                )
                collected.append((place, outcome))
        return collected

    def _broken(self, candidate: Candidate) -> EvaluationError:
        return EvaluationError(
            f"candidate {self._dataset.names(candidate.triple)}: the policy gave a logit that is not finite, or an "
            "action of its record does not exist"
        )

    def _prove_again(self, submitted: _Submitted) -> Outcome | EvaluationError:
        """The outcome by the reference, along the recorded actions where there are any."""
        actions = submitted.recorded_actions
        choose = first_of_the_best if actions is None else recorded(actions)
        try:
            return self._reference_of(submitted.policy).prove(submitted.candidate, choose=choose)
        except EvaluationError as error:
            return error

    @torch.inference_mode()
    def cancel(self, places: Sequence[int]) -> None:
        """Drops submitted candidates, waiting, running or done; their lanes are free from the next tick on."""
        mine = [place for place in places if place in self._submitted]
        if not mine:
            return
        pool = self._input_buffer
        gone = set(mine)
        head, tail = int(pool.head), self._num_queued
        ring = [pool.queue[turn % pool.size].item() for turn in range(head, tail)]
        kept = [place for place in ring if place not in gone]
        if kept:
            turns = torch.tensor(
                [(head + number) % pool.size for number in range(len(kept))], device=self.device
            )
            pool.queue[turns] = torch.tensor(kept, device=self.device)
        self._num_queued = head + len(kept)
        pool.tail.fill_(self._num_queued)
        dropped = torch.tensor(mine, device=self.device)
        for tick in self._ticks.values():
            tick.drop(dropped)
        for place in mine:
            self._forget(place)

    @property
    def reference(self) -> OriginalEvaluator:
        """The reference with the same policy."""
        return self._reference_of(self._policy)

    def _reference_of(self, policy: Policy) -> OriginalEvaluator:
        if self._reference is None or self._reference.policy is not policy:
            self._reference = OriginalEvaluator(self._dataset, policy, self.settings)
        return self._reference

    def _ticks_of(self, num_lanes: int) -> RecordedTicks:
        """The ticks of a bucket, made when they are first used."""
        if num_lanes not in self._recorded_ticks:
            tick = self._compiled_tick(num_lanes)
            # Asked after it was made, for the mode may have changed.
            group = self.ticks_per_look if self.mode.is_recorded else 1
            self._ticks[num_lanes] = tick
            self._recorded_ticks[num_lanes] = RecordedTicks(tick.run, group, self._recorder)
        return self._recorded_ticks[num_lanes]

    def make_tick(self, num_lanes: int) -> Tick:
        """A tick of a bucket on new lanes, as it is: not compiled, and beside the one that the evaluator runs."""
        capacities = self._capacities[num_lanes]
        return Tick(
            self._unification,
            self._features,
            self.settings,
            capacities,
            self._shape,
            self._input_buffer,
            self._dataset.vocabulary.first_variable_index,
            self._endf_feature,
            is_trimming=self.mode.is_trimming,
        )

    def _compiled_tick(self, num_lanes: int) -> Tick:
        """The tick of a bucket, compiled as the mode says; not compiled, with a warning, where that cannot be done."""
        capacities = self._capacities[num_lanes]
        tick = self.make_tick(num_lanes)
        if not self.mode.is_compiled:
            return tick
        if self.device.type == "cuda" and not self._features.has_same_bits_whole(capacities.num_states):
            logger.warning(
                "this device multiplies %d rows with other bits than %d: log-probabilities of mode %r may differ by "
                "rounding between buckets; mode 'captured' keeps them equal",
                capacities.num_states,
                CHUNK_ROWS,
                self.engine,
            )
        key = {
            "mode": self.mode,
            "capacities": capacities,
            "shape": self._shape,
            "settings": self.settings,
            "network": self._policy.network.config,
            "rules": list(self._tables.rule_body.shape),
            "device": self.device,
            "precision": self._features.precision,
        }
        try:
            compile_tick(tick, self.mode, self._packages)
            folder = nullcontext() if self.mode.is_packaged else self._artifacts.using(key)
            with folder, torch.inference_mode():
                tick.run()
        except (PackageError, TorchDynamoException, InductorError, InvalidCxxCompiler) as error:
            logger.warning(
                "mode %r cannot be compiled here (%s); going on without the compiler, which is slower",
                self.engine,
                first_of_error(error),
            )
            self.mode = self.mode.uncompiled(self.device)
            self.engine = self.mode.engine
            self._features.is_chunked = True
            # One mode for all buckets: those compiled before are made again when they are next used.
            self._ticks.clear()
            self._recorded_ticks.clear()
            return self._compiled_tick(num_lanes)
        return tick

    def buffer_addresses(self) -> list[int]:
        """Addresses of every static tensor, for whoever must be sure that they stay."""
        tensors: list[Tensor] = [
            *self._input_buffer,
            *self._features.parameters(),
            *self._features.buffers(),
            self._endf_feature,
        ]
        for tick in self._ticks.values():
            tensors.extend(tensors_of(tick))
        return [tensor.data_ptr() for tensor in tensors]
