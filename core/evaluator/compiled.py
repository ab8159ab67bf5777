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

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.base import (
    GivesBits,
    check_exact,
    check_same_shape,
)
from proofrank.core.evaluator.bits import warn_if_buckets_differ
from proofrank.core.evaluator.bucket_ticks import BucketTicks
from proofrank.core.evaluator.capacities import (
    check_capacities,
    check_countable,
    check_memory,
    choose_capacities,
    required_bytes,
)
from proofrank.core.evaluator.model_bits import num_model_bytes, size_of_model
from proofrank.core.evaluator.modes import Mode
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.reference import ReferenceEvaluator
from proofrank.core.evaluator.sample import sample_candidates
from proofrank.core.evaluator.slots import Done, PoolSlots, Submitted
from proofrank.core.evaluator.snapshots import PoolOutcomes
from proofrank.core.evaluator.stream import Collected
from proofrank.core.evaluator.tick import HalvedTick, Tick, new_buffers
from proofrank.core.evaluator.work import Work
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.policy.exported.features import features_of
from proofrank.core.policy.features import CHUNK_ROWS
from proofrank.core.policy.precision import matrix_products_in
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
from proofrank.core.prover.atom_bits import AtomBits
from proofrank.core.prover.environment import EvalOnlyEnvCompiled, evaluate_trajectory_compiled
from proofrank.core.prover.lanes import CandidatePool, LaneShape, empty_pool, idle_lanes
from proofrank.core.prover.observation import Capacities
from proofrank.core.prover.packing import pack_atom
from proofrank.core.prover.tables import build_tables
from proofrank.core.prover.vectorized import UnificationEngineVectorized


class CompiledEvaluator:
    """Evaluates many candidates at once; see the module."""

    def __init__(
        self,
        dataset: Dataset,
        policy: Policy,
        settings: ProverSettings,
        options: EvaluatorOptions | None = None,
        *,
        compile_mode: str = "eager",
        fullgraph: bool = True,
    ) -> None:
        """Builds tables and buffers; compiles nothing before :meth:`warm_up` or first use.

        Args:
            dataset: the graph.
            policy: must fit it.
            settings: of the prover.
            options: where it computes and how large it is; on the CPU, with the usual sizes, by default.
            compile_mode: one of ``proofrank.core.evaluator.modes.COMPILE_MODES``.
            fullgraph: whether the compiler must take each part of the tick as one graph.

        Raises:
            PolicyError: the policy does not fit the graph.
            EvaluationError: the graph or the settings cannot be evaluated exactly, or the buffers do not fit into
                memory.
        """
        options = options if options is not None else EvaluatorOptions()
        check_exact(dataset, policy, settings)
        mode = Mode.of(compile_mode, fullgraph=fullgraph, device=options.device)
        self.compile_mode = compile_mode
        self.fullgraph = fullgraph
        self.device = options.device
        self.settings = settings
        self.ticks_per_look = options.ticks_per_look
        self._dataset = dataset
        self._policy = policy
        with matrix_products_in(options.precision):
            self._features = features_of(policy.model, options.precision).to(self.device)
        self._features.settle(policy.model)
        if mode.products is not None:
            # Imported here: it imports triton, which others need not wait for.
            from proofrank.core.policy.fused_block import check_device

            check_device(self.device)
            self._features.fuse_blocks(mode.products)
        self._tables = build_tables(dataset, self.device)
        self._shape = LaneShape.of(settings, self._tables.longest_body, policy.shape.embedding_dim)
        self._capacities = {
            num_lanes: choose_capacities(
                num_lanes,
                self._tables,
                settings,
                options.per_lane,
                options.demand,
                is_counting=mode.tick is HalvedTick,
            )
            for num_lanes in sorted(options.buckets)
        }
        # A network that is compiled with the tick embeds all states of a tick at once, others a chunk at a time.
        self._embedding_floats = (
            self._features.num_floats(self._shape.working_atoms)
            if mode.is_compiled and mode.tick is not HalvedTick
            else 0
        )
        for capacities in self._capacities.values():
            check_capacities(capacities, self._tables, settings)
        wanted = f"buckets of {', '.join(map(str, options.buckets))} lanes"
        self._num_model_bytes = num_model_bytes(dataset, options.device, options.has_model_bits)
        check_memory(self.required_bytes, wanted, self.device, options.memory_share)
        for capacities in self._capacities.values():
            check_countable(capacities)
        self._model: object = None
        if self._num_model_bytes:
            bits = AtomBits.full(*size_of_model(dataset), self.device)
            self._tables = dataclasses.replace(self._tables, provable=bits)
        self._unification = UnificationEngineVectorized(self._tables, self._shape.working_atoms)
        self._input_buffer: CandidatePool = empty_pool(
            options.pool_size, settings.max_depth, self.device, self._shape.action_dtype
        )
        self._slots = PoolSlots(self._input_buffer, is_read_late=mode.is_recorded)
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
            ticks_per_replay=options.ticks_per_look,
            cache_folder=options.cache_folder,
            key={
                "shape": self._shape,
                "settings": settings,
                "network": policy.shape,
                "rules": list(self._tables.rule_body.shape),
                "device": self.device,
                "precision": options.precision,
            },
            on_lanes_lost=self._begin_again,
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
        """Memory of all buckets and of the bits of a least model, estimated from above."""
        body, hidden = self._tables.longest_body, self._policy.shape.hidden_dim
        of_buckets = sum(
            required_bytes(capacities, self._shape, body, hidden, self._embedding_floats)
            for capacities in self._capacities.values()
        )
        return of_buckets + self._num_model_bytes

    @property
    def num_free_slots(self) -> int:
        """How many candidates can be submitted now."""
        return self._slots.num_free

    @property
    def num_in_flight(self) -> int:
        """How many submitted candidates have not been collected."""
        return len(self._slots.taken)

    @property
    def num_weight_copies(self) -> int:
        """Number of copies to the device by which other policies were loaded."""
        return self._features.num_weight_copies

    @property
    def flops_per_state(self) -> int:
        """Multiplications and additions of the network for one state."""
        return self._features.flops_per_state()

    @property
    def work(self) -> Work:
        """Work so far, over all buckets."""
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
        check_same_shape(policy, self._policy)
        self._policy = policy
        self._features.load(policy.model)
        self._policy_changed()
        self._slots.hold_others(policy)

    @torch.inference_mode()
    def load_model(self, model: object) -> None:
        """Puts a least model of the graph into the bits that ticks look up, for all candidates from the next tick on.

        A candidate outside of it ends once its sum less the penalty is below its threshold, whether or not it was said
        to have no proof when it was submitted. Nothing happens where there are no such bits, if ``model`` gives none,
        or if it is the one that was loaded last.

        Args:
            model: of the evaluator's graph, as ``proofrank.core.provability`` computes it.

        Raises:
            EvaluationError: it is of a graph of another size.
        """
        bits = self._tables.provable
        if bits is None or model is self._model or not isinstance(model, GivesBits):
            return
        bits.load(model.bits(*size_of_model(self._dataset)))
        self._model = model

    def _begin_again(self) -> None:
        """Goes on with new ticks, whose network may be computed in another way than that of the ticks before."""
        self._slots.begin_again()
        self._policy_changed()

    @torch.inference_mode()
    def _policy_changed(self) -> None:
        """Computes anew what depends on the policy alone."""
        if self._features.is_pairwise:
            return  # No vector of Endf alone; its logit depends on the state.
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
            # On a CPU tests have shown that they are the same; on a GPU this has to be measured.
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
        index_of_slot = np.zeros(self._input_buffer.size, dtype=np.int64)
        num_submitted = num_done = 0

        def advance() -> None:
            nonlocal num_submitted, num_done
            batch = slice(num_submitted, min(num_submitted + self.num_free_slots, len(asked)))
            given = None if recorded_actions is None else recorded_actions[batch]
            slots = self.submit(asked[batch], given)
            index_of_slot[slots] = np.arange(batch.start, batch.stop)
            num_submitted = batch.stop
            self.advance(self.ticks_per_look, num_lanes)
            collected = self._taken_out(self._slots.done())
            for _, error in collected.errors:
                raise error
            table.put(index_of_slot[collected.slots], collected.outcomes)
            num_done += len(collected)
            if on_progress is not None:
                on_progress(num_done)

        try:
            evaluate_trajectory_compiled(advance, is_finished=lambda: num_done == len(asked))
        except BaseException:
            self.cancel(list(self._slots.taken))
            raise
        return table.outcomes()

    def submit(
        self, candidates: Sequence[Candidate], recorded_actions: Sequence[Sequence[int]] | None = None
    ) -> list[int]:
        """Puts candidates into the pool, to be proved after those before them.

        Args:
            candidates: at most ``num_free_slots``.
            recorded_actions: for each the actions to take instead of the policy's choice.

        Returns:
            The slot of each, by which it is collected or cancelled.

        Raises:
            EvaluationError: there are more than free slots, or recorded actions than steps.
        """
        return self._slots.put(Candidates.of(candidates), self._policy, recorded_actions)

    @torch.inference_mode()
    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        """Runs ticks.

        Args:
            num_ticks: how many.
            num_lanes: of the bucket; the largest by default.
            only: the slots whose candidates move; the others keep still. All that were submitted under the loaded
                policy by default.
        """
        with matrix_products_in(self._features.precision):
            self._slots.hold_others(self._policy, only)
            self._ticks.advance(num_ticks, num_lanes if num_lanes is not None else self.buckets[-1])

    def collect(self) -> Collected:
        """Takes out candidates that are done, with their slots; see :class:`core.evaluator.stream.CandidateStream`.

        Where ticks are recorded, it tells of what was done at the call before, and so does not wait for ticks since.

        Returns:
            For each its outcome; or the error, where a logit was not finite or recorded actions could not be followed,
            which concerns that candidate alone.
        """
        return self._taken_out(self._slots.done())

    def _taken_out(self, done: Done) -> Collected:
        """The outcomes of what is done, whose slots are freed."""
        table = PoolOutcomes(*(column.cpu() for column in done.outcomes))
        columns = {name: column.numpy() for name, column in table._asdict().items()}
        is_ambiguous = columns["is_ambiguous"]
        is_odd = is_ambiguous | columns["is_broken"]
        slots = np.array(done.slots, dtype=np.int64)
        outcomes = Outcomes.of_table(
            columns["success"],
            columns["log_probability"],
            columns["steps"],
            columns["passes_near_tie"],
            columns["largest_logit"],
            columns["actions"],
            columns["is_pruned"],
        )
        if not is_odd.any():
            self._slots.take_out(done.slots)
            return Collected(slots, outcomes)
        odd = [
            # Proved again first, for a state that was mistaken for another may lack an action of the record.
            self._prove_again(submitted) if is_ambiguous[row] else self._broken(submitted.candidate)
            for row in np.flatnonzero(is_odd).tolist()
            for submitted in [self._slots.submitted(done.slots[row])]
        ]
        self._slots.take_out(done.slots)
        sound = np.flatnonzero(~is_odd)
        return Collected.of(
            [
                *zip(slots[sound].tolist(), outcomes.taken(sound), strict=True),
                *zip(slots[is_odd].tolist(), odd, strict=True),
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

    def cancel(self, slots: Sequence[int]) -> None:
        """Drops submitted candidates, waiting, running or done; their lanes are free from the next tick on."""
        dropped = self._slots.drop(slots)
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
        environment = EvalOnlyEnvCompiled(
            self._unification,
            self.settings,
            self._capacities[num_lanes],
            self._dataset.vocabulary.first_variable_index,
            is_trimming=mode.is_trimming,
            endf_of_pairs=pack_atom(self._dataset.vocabulary.endf_index, 0, 0)
            if self._features.is_pairwise
            else None,
        )
        lanes = idle_lanes(self._capacities[num_lanes].num_lanes, self._shape, self.device)
        buffers = new_buffers(lanes, self._input_buffer, self._endf_feature)
        return mode.tick(environment, self._features, buffers)

    def buffer_addresses(self) -> list[int]:
        """Addresses of every static tensor, by which a caller can check that they stay."""
        tensors = [
            *self._input_buffer,
            *self._features.parameters(),
            *self._features.buffers(),
            self._endf_feature,
            *self._ticks.tensors(),
        ]
        return [tensor.data_ptr() for tensor in tensors]
