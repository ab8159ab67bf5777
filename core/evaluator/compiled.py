"""The vectorised evaluator: static buffers, one tick that may be compiled, and a stream through them.

``CompiledEvaluator`` owns, for the life of the process, the pool of candidates (``_input_buffer``) and the lanes of
each bucket. Candidates of any number are copied into the pool and stream through the lanes; a tick moves every lane
by one step and gives freed lanes to those that wait. Besides :meth:`CompiledEvaluator.evaluate` for a whole batch there
is the stream that a scheduler needs: submit, advance by some ticks, collect what is finished, cancel.

Where ticks are recorded (``core.evaluator.graphs``), whole batches and the stream run without waiting for the device:
candidates are copied in and outcomes copied out behind the ticks, and the host works on what was done one look before.

An evaluator belongs to the thread that makes it: that thread's stream of the device is the order of all that happens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.evaluator.base import check_enough_variables
from proofrank.core.evaluator.bits import warn_if_buckets_differ
from proofrank.core.evaluator.bucket_ticks import BucketTicks
from proofrank.core.evaluator.capacities import (
    DEFAULT_BUCKETS,
    FROM_THE_GRAPH,
    Demand,
    PerLane,
    check_capacities,
    check_memory,
    choose_capacities,
    required_bytes,
)
from proofrank.core.evaluator.modes import Mode
from proofrank.core.evaluator.reference import ReferenceEvaluator
from proofrank.core.evaluator.sample import sample_candidates
from proofrank.core.evaluator.slots import Done, PoolPlaces, Submitted
from proofrank.core.evaluator.stream import Collected
from proofrank.core.evaluator.tick import Tick
from proofrank.core.evaluator.work import Work
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.policy.features import CHUNK_ROWS, RowFeatures
from proofrank.core.policy.precision import check_precision, matrix_products_in
from proofrank.core.prover import (
    Candidate,
    Candidates,
    Outcome,
    Outcomes,
    OutcomeTable,
    ProverSettings,
    first_of_the_best,
    recorded,
)
from proofrank.core.prover.environment import evaluate_trajectory_compiled
from proofrank.core.prover.lanes import CandidatePool, LaneShape, empty_pool
from proofrank.core.prover.observation import Capacities
from proofrank.core.prover.packing import check_packable, pack_atom
from proofrank.core.prover.tables import build_tables
from proofrank.core.prover.vectorized import UnificationEngineVectorized

POOL_SIZE = 16384
TICKS_PER_LOOK = 4
"""Ticks between two looks at what is done: a look costs a little, a late look leaves lanes idle."""


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
            compile_mode: one of ``proofrank.core.evaluator.modes.COMPILE_MODES``.
            fullgraph: whether the compiler must take each part of the tick as one graph.
            device: where everything is computed.
            buckets: numbers of lanes; the smallest that fits is used.
            per_lane: sizes of the buckets' buffers.
            pool_size: places of the pool.
            cache_folder: where compiled artifacts are kept; ``default_cache_folder()`` if it is None.
            precision: of the network's matrix products, one of ``proofrank.core.policy.precision.PRECISIONS``.
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
        mode = Mode.of(compile_mode, fullgraph=fullgraph, device=torch.device(device))
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
            num_lanes: choose_capacities(
                num_lanes, self._tables, settings, per_lane, demand, is_counting=mode.is_counting
            )
            for num_lanes in sorted(buckets)
        }
        for capacities in self._capacities.values():
            check_capacities(capacities, self._tables, settings)
        check_memory(self.required_bytes, f"buckets of {', '.join(map(str, buckets))} lanes", self.device)
        self._input_buffer: CandidatePool = empty_pool(pool_size, settings.max_depth, self.device)
        self._places = PoolPlaces(self._input_buffer, is_read_late=mode.is_recorded)
        self._reference: ReferenceEvaluator | None = None
        self._endf_states = torch.zeros(
            CHUNK_ROWS, self._shape.working_atoms, dtype=torch.int64, device=self.device
        )
        self._endf_states[:, 0] = pack_atom(dataset.vocabulary.endf_index, 0, 0)
        self._endf_feature = torch.zeros(self._shape.embedding_dim, device=self.device)
        self._policy_changed()
        self._ticks = BucketTicks(
            self._new_tick,
            mode,
            self._features,
            self.device,
            ticks_per_replay=ticks_per_look,
            cache_folder=cache_folder if cache_folder is not None else default_cache_folder(),
            key={
                "shape": self._shape,
                "settings": settings,
                "network": policy.network.config,
                "rules": list(self._tables.rule_body.shape),
                "device": self.device,
                "precision": precision,
            },
            on_lanes_lost=self._places.begin_again,
        )

    @property
    def mode(self) -> Mode:
        """How ticks are run; another than was asked for where the compiler failed."""
        return self._ticks.mode

    @property
    def engine(self) -> str:
        """Name of the mode."""
        return self.mode.engine

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
        return self._places.num_free

    @property
    def num_in_flight(self) -> int:
        """How many submitted candidates have not been collected."""
        return len(self._places.taken)

    @property
    def flops_per_state(self) -> int:
        """Multiplications and additions of the network for one state."""
        return self._features.flops_per_state()

    @property
    def work(self) -> Work:
        """What was done so far, over all buckets."""
        return Work.total(self._ticks.counts())

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
        self._places.let_move(policy)

    @torch.inference_mode()
    def _policy_changed(self) -> None:
        """Computes anew what depends on the policy alone."""
        with matrix_products_in(self._features.precision):
            self._endf_feature.copy_(self._features(self._endf_states)[0])

    def warm_up(self, on_bucket: Callable[[int], None] | None = None) -> None:
        """Compiles and runs the tick of every bucket once; on CUDA, warns of buckets that give other bits than others.

        Args:
            on_bucket: told the number of lanes of each bucket before its turn.
        """
        for num_lanes in self.buckets:
            if on_bucket is not None:
                on_bucket(num_lanes)
            self._run([Candidate(self._dataset.splits["train"][0], is_positive=True)], None, None, num_lanes)
        if self.device.type == "cuda":
            # Elsewhere tests have shown that they are the same; of a card nobody knows before it is asked.
            warn_if_buckets_differ(self, sample_candidates(self._dataset))

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Outcomes:
        """See :class:`proofrank.core.evaluator.base.Evaluator`."""
        if self.num_in_flight:
            raise EvaluationError(
                f"{self.num_in_flight} submitted candidates are in flight; collect them first"
            )
        if not candidates:
            return Outcomes.of([])
        num_lanes = next((size for size in self.buckets if size >= len(candidates)), self.buckets[-1])
        return self._run(candidates, recorded_actions, on_progress, num_lanes)

    def _run(
        self,
        candidates: Sequence[Candidate],
        recorded_actions: Sequence[Sequence[int]] | None,
        on_progress: Callable[[int], None] | None,
        num_lanes: int,
    ) -> Outcomes:
        asked = Candidates.of(candidates)
        table = OutcomeTable(len(asked))
        index_of_place = np.zeros(self._input_buffer.size, dtype=np.int64)
        num_submitted = num_done = 0

        def advance() -> None:
            nonlocal num_submitted, num_done
            batch = slice(num_submitted, min(num_submitted + self.num_free_places, len(asked)))
            given = None if recorded_actions is None else recorded_actions[batch]
            places = self.submit(asked[batch], given)
            index_of_place[places] = np.arange(batch.start, batch.stop)
            num_submitted = batch.stop
            self.advance(self.ticks_per_look, num_lanes)
            collected = self._taken_out(self._places.done())
            for _, error in collected.errors:
                raise error
            table.put(index_of_place[collected.places], collected.outcomes)
            num_done += len(collected)
            if on_progress is not None:
                on_progress(num_done)

        try:
            evaluate_trajectory_compiled(advance, is_finished=lambda: num_done == len(asked))
        except BaseException:
            self.cancel(list(self._places.taken))
            raise
        return table.outcomes()

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
        return self._places.put(Candidates.of(candidates), self._policy, recorded_actions)

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
            self._places.let_move(self._policy, only)
            self._ticks.advance(num_ticks, num_lanes if num_lanes is not None else self.buckets[-1])

    def collect(self) -> Collected:
        """Takes out candidates that are done, with their places; see :class:`core.evaluator.stream.CandidateStream`.

        Where ticks are recorded, it tells of what was done at the call before, and so does not wait for ticks since.

        Returns:
            For each its outcome; or the error, where a logit was not finite or recorded actions could not be followed,
            which concerns that candidate alone.
        """
        return self._taken_out(self._places.done())

    def _taken_out(self, done: Done) -> Collected:
        """The outcomes of what is done, whose places are freed."""
        _, success, log_probability, steps, actions, near_tie, largest_logit, is_ambiguous, is_broken = (
            column.cpu().numpy() for column in done.outcomes
        )
        is_odd = is_ambiguous | is_broken
        places = np.array(done.places, dtype=np.int64)
        outcomes = Outcomes.of_table(success, log_probability, steps, near_tie, largest_logit, actions)
        if not is_odd.any():
            self._places.take_out(done.places)
            return Collected(places, outcomes)
        odd = [
            # Proved again first, for a state that was mistaken for another may lack an action of the record.
            self._prove_again(submitted) if is_ambiguous[row] else self._broken(submitted.candidate)
            for row in np.flatnonzero(is_odd).tolist()
            for submitted in [self._places.submitted(done.places[row])]
        ]
        self._places.take_out(done.places)
        sound = np.flatnonzero(~is_odd)
        return Collected.of(
            [
                *zip(places[sound].tolist(), outcomes.taken(sound), strict=True),
                *zip(places[is_odd].tolist(), odd, strict=True),
            ]
        )

    def _broken(self, candidate: Candidate) -> EvaluationError:
        return EvaluationError(
            f"candidate {self._dataset.names(candidate.triple)}: the policy gave a logit that is not finite, or an "
            "action of its record does not exist"
        )

    def _prove_again(self, submitted: Submitted) -> Outcome | EvaluationError:
        """The outcome by the reference, along the recorded actions where there are any."""
        actions = submitted.recorded_actions
        choose = first_of_the_best if actions is None else recorded(actions)
        try:
            return self._reference_of(submitted.policy).prove(submitted.candidate, choose=choose)
        except EvaluationError as error:
            return error

    def cancel(self, places: Sequence[int]) -> None:
        """Drops submitted candidates, waiting, running or done; their lanes are free from the next tick on."""
        dropped = self._places.drop(places)
        if dropped is not None:
            self._ticks.drop(dropped)

    @property
    def reference(self) -> ReferenceEvaluator:
        """The reference with the same policy."""
        return self._reference_of(self._policy)

    def _reference_of(self, policy: Policy) -> ReferenceEvaluator:
        if self._reference is None or self._reference.policy is not policy:
            self._reference = ReferenceEvaluator(self._dataset, policy, self.settings)
        return self._reference

    def tick_of(self, num_lanes: int) -> Tick:
        """The tick that a bucket runs, made if it is not there yet."""
        return self._ticks.tick(num_lanes)

    def make_tick(self, num_lanes: int) -> Tick:
        """A tick of a bucket on new lanes, as it is: not compiled, and beside the one that the evaluator runs."""
        return self._new_tick(num_lanes, self.mode)

    def _new_tick(self, num_lanes: int, mode: Mode) -> Tick:
        return Tick(
            self._unification,
            self._features,
            self.settings,
            self._capacities[num_lanes],
            self._shape,
            self._input_buffer,
            self._dataset.vocabulary.first_variable_index,
            self._endf_feature,
            is_trimming=mode.is_trimming,
            is_counting=mode.is_counting,
        )

    def buffer_addresses(self) -> list[int]:
        """Addresses of every static tensor, for whoever must be sure that they stay."""
        tensors = [
            *self._input_buffer,
            *self._features.parameters(),
            *self._features.buffers(),
            self._endf_feature,
            *self._ticks.tensors(),
        ]
        return [tensor.data_ptr() for tensor in tensors]
