"""The proof environment for many lanes at once, for evaluation only: no rewards, no gradients.

One tick moves every lane by one proof step, in three parts that can be compiled together or apart:

1. :meth:`EvalOnlyEnvCompiled.refill` gives waiting candidates to idle lanes;
2. :meth:`EvalOnlyEnvCompiled.observe` counts, admits, expands and filters, and packs the states to score;
3. :meth:`EvalOnlyEnvCompiled.step_functional` takes the scored states' features, selects, and moves.

Everything is a pure function of tensors. Shapes are fixed, except with ``is_trimming``, where buffers follow the true
counts; this reads the counts back and is for the CPU. The results are those of ``proofrank.core.prover.reference``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from proofrank.core.prover.lanes import IDLE, NO_FACT, NOT_RECORDED, CandidatePool, LaneState
from proofrank.core.prover.observation import Capacities, EvalObs
from proofrank.core.prover.rows import (
    Admission,
    Tally,
    admit,
    admit_parts,
    counted_before,
    rows_of,
)
from proofrank.core.prover.settings import (
    FAILURE_PENALTY,
    MAX_SKIPPED_UNARY_ACTIONS,
    TIE_TOLERANCE,
    ProverSettings,
)
from proofrank.core.prover.state_sets import same_set, set_hash
from proofrank.core.prover.steps import (
    Expansion,
    FactCheck,
    FilteredRows,
    Move,
    Scoring,
    Selection,
    SingleActions,
    TakenAction,
    Verdict,
    Visits,
)
from proofrank.core.prover.vectorized import Matches, UnificationEngineVectorized


class EvalOnlyEnvCompiled:
    """The environment of one graph, one choice of settings and one bucket of lanes."""

    def __init__(
        self,
        engine: UnificationEngineVectorized,
        settings: ProverSettings,
        capacities: Capacities,
        first_variable: int,
        *,
        is_trimming: bool,
        endf_of_pairs: int | None = None,
    ) -> None:
        """Makes an environment.

        Args:
            engine: resolves goals.
            settings: settings of the prover.
            capacities: sizes of the buffers.
            first_variable: index of the first run-time variable.
            is_trimming: whether buffers follow the true counts.
            endf_of_pairs: the packed atom ``Endf`` for a policy that maps pairs of a state and an action to logits;
                None for one that maps states to vectors.
        """
        self.engine = engine
        self.settings = settings
        self.capacities = capacities
        self.is_trimming = is_trimming
        self._first_variable = first_variable
        self._endf_of_pairs = endf_of_pairs
        # One more than can be actions, because the excluded fact may be among them.
        self._num_fact_rows = settings.padding_states + 1

    def on(self, given: Iterator[Tensor]) -> EvalOnlyEnvCompiled:
        """Returns the same environment on the next tensors of ``given``, in the order of its graph's
        ``tables.tensors()``.
        """
        engine = UnificationEngineVectorized(self.engine.tables.on(given), self.engine.working_atoms)
        return EvalOnlyEnvCompiled(
            engine,
            self.settings,
            self.capacities,
            self._first_variable,
            is_trimming=self.is_trimming,
            endf_of_pairs=self._endf_of_pairs,
        )

    def refill(self, lanes: LaneState, pool: CandidatePool) -> tuple[LaneState, Tensor]:
        """Gives waiting candidates to idle lanes, in order.

        Returns:
            The lanes, and the pool's ``head`` afterwards.
        """
        is_idle = ~lanes.is_busy
        num_idle = torch.cumsum(is_idle, dim=0)
        turn = pool.head + num_idle - 1
        is_filled = is_idle & (turn < pool.tail)
        candidate = pool.queue[turn % pool.size]
        atom = pool.atom[candidate].unsqueeze(1)
        column = torch.arange(lanes.atoms.shape[1], device=atom.device)
        atoms = torch.where(column == 0, atom, 0)
        slot = torch.arange(lanes.visited_hash.shape[1], device=atom.device)
        is_first_slot = is_filled.unsqueeze(1) & (slot == 0)

        def where(filled: Tensor | int | float | bool, kept: Tensor) -> Tensor:
            flag = is_filled.view(-1, *([1] * (kept.dim() - 1)))
            return torch.where(flag, filled, kept)

        lanes = lanes._replace(
            candidate=torch.where(is_filled, candidate, lanes.candidate),
            atoms=where(atoms, lanes.atoms),
            observed=where(atoms, lanes.observed),
            has_feature=where(False, lanes.has_feature),
            next_variable=where(self._first_variable, lanes.next_variable),
            depth=where(0, lanes.depth),
            num_skipped=where(0, lanes.num_skipped),
            excluded=where(pool.excluded[candidate], lanes.excluded),
            num_checked=where(0, lanes.num_checked),
            is_proved=where(False, lanes.is_proved),
            # The query's state counts as visited from the start.
            visited_hash=torch.where(is_first_slot, set_hash(atom).unsqueeze(1), lanes.visited_hash),
            visited_atoms=torch.where(is_first_slot.unsqueeze(2), atoms.unsqueeze(1), lanes.visited_atoms),
            num_visited=where(1, lanes.num_visited),
            log_probability=where(0.0, lanes.log_probability),
            largest_logit=where(0.0, lanes.largest_logit),
            passes_near_tie=where(False, lanes.passes_near_tie),
            is_ambiguous=where(False, lanes.is_ambiguous),
            is_broken=where(False, lanes.is_broken),
        )
        return lanes, torch.minimum(pool.tail, pool.head + num_idle[-1])

    def observe(self, lanes: LaneState, is_running: Tensor, first_lane: Tensor) -> EvalObs:
        """Finds the actions of the lanes' states, and packs the states to score.

        Args:
            lanes: the trajectories.
            is_running: ``[B]`` bool, the lanes that may move; each has a candidate.
            first_lane: ``[]`` int64, the lane that is admitted first if not all fit.
        """
        check, expansion = self._expand(lanes, is_running, first_lane)
        filtered = self._filter(lanes, expansion, check)
        single = self._single_actions(lanes, expansion, filtered)
        verdict = self._judge(expansion, filtered, single)
        scoring = self._admit_to_scoring(lanes, expansion, filtered, verdict, first_lane)
        states, state_lane = self._pack_states(lanes, expansion, scoring)
        if self._endf_of_pairs is not None:
            states = self._pairs(lanes, states, state_lane, scoring.num_self, self._endf_of_pairs)
        admission, resolvents = expansion.admission, expansion.resolvents
        num_fresh = self._most_fresh(resolvents.num_fresh, resolvents.is_valid, admission)
        return EvalObs(
            states=states,
            state_lane=state_lane,
            num_scored=scoring.num_self + scoring.scored.total,
            score_begin=scoring.num_self + scoring.scored.before(admission.begin),
            self_place=scoring.self_place,
            needs_feature=scoring.needs_feature,
            num_actions=verdict.num_actions,
            is_scored=scoring.is_scored,
            is_single=verdict.is_single,
            is_proved=filtered.is_proved,
            is_failed=verdict.is_failed | (single.is_too_long & (lanes.depth == 0)),
            is_stuck=single.is_too_long & (lanes.depth > 0),
            is_skipping=single.is_skipped & ~single.is_too_long,
            row_atoms=resolvents.atoms,
            single_row=single.row,
            action_tally=scoring.scored.inclusive,
            row_begin=admission.begin,
            next_variable=lanes.next_variable + num_fresh,
            num_checked=check.num_checked,
            is_found=check.is_found,
            is_ambiguous=self._any_of_lane(filtered.visits.is_unsure & filtered.is_small, admission),
            num_rows=admission.total,
            num_checks=check.num_checks,
        )

    def _expand(
        self, lanes: LaneState, is_running: Tensor, first_lane: Tensor
    ) -> tuple[FactCheck, Expansion]:
        """Resolves the lanes' goals with every rule, and with as many facts as can become actions."""
        matches = self.engine.matches(torch.where(is_running, lanes.atoms[:, 0], 0))
        check = self._check_facts(lanes, is_running, matches, first_lane)
        fact_rows = matches.num_facts.clamp(max=self._num_fact_rows)
        can_resolve = is_running & ~check.is_pending
        request = torch.where(can_resolve & ~check.is_found, matches.num_rules + fact_rows, 0)
        admission = admit(request, self.capacities.num_rows, first_lane)
        rows = rows_of(admission, self._trimmed(admission.total, self.capacities.num_rows))
        lane = rows.lane
        resolvents = self.engine.resolve(
            rows.place,
            lanes.atoms[lane],
            lanes.next_variable[lane],
            lanes.excluded[lane],
            Matches(*(tensor[lane] for tensor in matches)),
            rows.is_row,
            is_trimming=self.is_trimming,
        )
        return check, Expansion(admission, rows, resolvents, can_resolve & admission.is_admitted)

    def _filter(self, lanes: LaneState, expansion: Expansion, check: FactCheck) -> FilteredRows:
        """Finds the lanes that are proved at once. Keeps the first ``padding_states`` rows of the others, and then
        drops visited and large ones.
        """
        settings, admission, rows = self.settings, expansion.admission, expansion.rows
        resolvents = expansion.resolvents
        valid = Tally(resolvents.is_valid)
        proofs = Tally(resolvents.is_valid & (resolvents.num_atoms == 0))
        is_proved = expansion.is_admitted & (check.is_found | (proofs.of_lanes(admission) > 0))
        is_kept = resolvents.is_valid & (valid.rank(rows, admission) < settings.padding_states)
        is_small = is_kept & (resolvents.num_atoms <= settings.padding_atoms)
        if settings.memory_pruning:
            visits = self._visited(lanes, rows.lane, resolvents.atoms, set_hash(resolvents.atoms))
        else:
            visits = Visits(*[torch.zeros_like(is_small)] * 3)
        is_action = is_small & ~visits.is_visited & ~visits.is_observed
        return FilteredRows(valid, is_small, visits, Tally(is_action), is_action, is_proved)

    def _single_actions(
        self, lanes: LaneState, expansion: Expansion, filtered: FilteredRows
    ) -> SingleActions:
        """Finds the lanes' only actions, and the lanes that follow them without a step."""
        admission = expansion.admission
        first = torch.zeros_like(admission.begin)
        row = filtered.actions.find(admission, first)
        is_skipped = torch.zeros_like(expansion.is_admitted)
        if self.settings.skip_unary_actions:
            valid = filtered.valid
            on_way = Tally(filtered.is_small & ~filtered.visits.is_visited)
            is_on_way = lanes.num_skipped > 0
            num_left = torch.where(is_on_way, on_way.of_lanes(admission), valid.of_lanes(admission))
            is_skipped = expansion.is_admitted & ~filtered.is_proved & (num_left == 1)
            skipped_row = torch.where(is_on_way, on_way.find(admission, first), valid.find(admission, first))
            row = torch.where(is_skipped, skipped_row, row)
        is_too_long = is_skipped & (lanes.num_skipped >= MAX_SKIPPED_UNARY_ACTIONS)
        return SingleActions(is_skipped, is_too_long, row)

    def _judge(self, expansion: Expansion, filtered: FilteredRows, single: SingleActions) -> Verdict:
        """Counts the actions, and finds the lanes with none, with one, or with a choice."""
        settings = self.settings
        num_actions = filtered.actions.of_lanes(expansion.admission)
        if settings.end_proof_action:
            num_actions = num_actions.clamp(max=settings.padding_states - 1)
        is_settled = expansion.is_admitted & ~single.is_skipped & ~filtered.is_proved
        is_single = is_settled & (num_actions == 1) & (not settings.end_proof_action)
        has_actions = num_actions > 0
        return Verdict(
            num_actions, is_single, is_settled & ~has_actions, is_settled & has_actions & ~is_single
        )

    def _admit_to_scoring(
        self,
        lanes: LaneState,
        expansion: Expansion,
        filtered: FilteredRows,
        verdict: Verdict,
        first_lane: Tensor,
    ) -> Scoring:
        """Assigns places to the states that must be scored, as far as there is room."""
        num_actions, rows = verdict.num_actions, expansion.rows
        needs_feature = verdict.needs_score & ~lanes.has_feature
        request = torch.where(verdict.needs_score, num_actions + needs_feature, 0)
        admission = admit(request, self.capacities.num_states, first_lane)
        is_scored = verdict.needs_score & admission.is_admitted
        needs_feature = needs_feature & is_scored
        is_scored_row = filtered.is_action & is_scored[rows.lane]
        rank = filtered.actions.rank(rows, expansion.admission)
        is_scored_row = is_scored_row & (rank < num_actions[rows.lane])
        num_self = torch.cumsum(needs_feature, dim=0)
        return Scoring(
            is_scored=is_scored,
            needs_feature=needs_feature,
            self_place=num_self - 1,
            num_self=num_self[-1],
            is_scored_row=is_scored_row,
            scored=Tally(is_scored_row),
        )

    def _trimmed(self, count: Tensor, capacity: int) -> int:
        """Returns the number of rows to compute: the capacity, or the rows in use if trimming."""
        return max(1, int(count)) if self.is_trimming else capacity

    @staticmethod
    def _any_of_lane(flags: Tensor, admission: Admission) -> Tensor:
        return Tally(flags).of_lanes(admission) > 0

    def _check_facts(
        self, lanes: LaneState, is_running: Tensor, matches: Matches, first_lane: Tensor
    ) -> FactCheck:
        """Looks for immediate proofs among the facts that cannot become actions, some in each tick."""
        is_open = (lanes.atoms[:, 1] != 0) if lanes.atoms.shape[1] > 1 else torch.zeros_like(is_running)
        needs_check = is_running & is_open & ~lanes.is_proved
        needs_check = needs_check & (matches.num_facts > self._num_fact_rows)
        needs_check = needs_check & self.engine.may_be_proved_by_fact(lanes.atoms)
        if self.is_trimming and not bool(needs_check.any()):
            nothing = torch.zeros_like(needs_check)
            return FactCheck(lanes.num_checked, lanes.is_proved, nothing, torch.zeros_like(first_lane))
        unchecked = matches.num_facts - self._num_fact_rows - lanes.num_checked
        unchecked = torch.where(needs_check, unchecked, 0)
        # Unlike rows, the checks of a lane may be split over ticks: as many are done as fit.
        admission = admit_parts(unchecked, self.capacities.num_checks, first_lane)
        granted = admission.end - admission.begin
        rows = rows_of(admission, self._trimmed(admission.total, self.capacities.num_checks))
        lane = rows.lane
        number = self._num_fact_rows + lanes.num_checked[lane] + rows.place
        match = torch.where(rows.is_row, matches.fact_offset[lane] + number, 0)
        is_proof = self.engine.proves_at_once(
            self.engine.tables.matches[match],
            lanes.atoms[lane],
            lanes.excluded[lane],
            is_trimming=self.is_trimming,
        )
        # Marked, not counted: there are many checks, and a sum over them needs scratch memory and many registers.
        num_lanes = lanes.is_proved.shape[0]
        proved_lane = torch.where(is_proof & rows.is_row, lane, num_lanes)
        marked = lanes.is_proved.new_zeros(num_lanes + 1).index_fill(0, proved_lane, True)
        is_found = lanes.is_proved | marked[:num_lanes]
        is_pending = (unchecked > granted) & ~is_found
        return FactCheck(lanes.num_checked + granted, is_found, is_pending, admission.total)

    def _visited(self, lanes: LaneState, lane: Tensor, atoms: Tensor, row_hash: Tensor) -> Visits:
        """Compares rows of ``atoms`` ``[R, W]`` with the states that their lanes ``[R]`` have visited."""
        slots = torch.arange(lanes.visited_hash.shape[1], device=lane.device)
        is_match = (lanes.visited_hash[lane] == row_hash.unsqueeze(1)) & (
            slots < lanes.num_visited[lane].unsqueeze(1)
        )
        if self.is_trimming:
            return self._visited_of_few(lanes, lane, atoms, row_hash, is_match)
        first_match = torch.where(is_match, slots, slots.shape[0]).amin(dim=1)
        has_match = first_match < slots.shape[0]
        slot = first_match.clamp(max=slots.shape[0] - 1)
        others = torch.stack([lanes.visited_atoms[lane, slot], lanes.observed[lane]], dim=1)
        is_same, is_observed = same_set(atoms.unsqueeze(1), others).unbind(dim=1)
        return Visits(has_match & is_same, is_observed, has_match & ~is_same)

    @staticmethod
    def _visited_of_few(
        lanes: LaneState, lane: Tensor, atoms: Tensor, row_hash: Tensor, is_match: Tensor
    ) -> Visits:
        """Does the same by comparing only the few rows whose hash is one of their lane's; ``is_match`` is ``[R,
        V]``.
        """
        row, slot = torch.nonzero(is_match, as_tuple=True)
        is_first = torch.ones_like(row, dtype=torch.bool)
        is_first[1:] = row[1:] != row[:-1]
        row, slot = row[is_first], slot[is_first]
        is_same = same_set(atoms[row], lanes.visited_atoms[lane[row], slot])
        nothing = torch.zeros_like(lane, dtype=torch.bool)
        like_observed = torch.nonzero(set_hash(lanes.observed)[lane] == row_hash).squeeze(1)
        is_observed = same_set(atoms[like_observed], lanes.observed[lane[like_observed]])
        return Visits(
            nothing.index_put((row,), is_same),
            nothing.index_put((like_observed,), is_observed),
            nothing.index_put((row,), ~is_same),
        )

    def _most_fresh(self, num_fresh: Tensor, is_valid: Tensor, admission: Admission) -> Tensor:
        """Returns the most fresh variables of any resolvent of each lane, ``[B]`` int64."""
        # Rules have few; counts by prefix sums are fused with others, unlike a maximum by lane.
        at_least = range(1, self.engine.tables.max_fresh + 1)
        return sum(
            (self._any_of_lane(is_valid & (num_fresh >= number), admission).long() for number in at_least),
            start=torch.zeros_like(admission.begin),
        )

    def _pack_states(self, lanes: LaneState, expansion: Expansion, scoring: Scoring) -> tuple[Tensor, Tensor]:
        """Returns the states to score ``[N, W]`` and their lanes ``[N]``."""
        row_atoms, row_lane = expansion.resolvents.atoms, expansion.rows.lane
        if self.is_trimming:
            own = torch.nonzero(scoring.needs_feature).squeeze(1)
            row = torch.nonzero(scoring.is_scored_row).squeeze(1)
            return torch.cat([lanes.observed[own], row_atoms[row]]), torch.cat([own, row_lane[row]])
        # Each place looks for its source, for to write each source into its place takes launches of its own.
        place = torch.arange(self.capacities.num_states, device=row_lane.device)
        is_self, is_state = place < scoring.num_self, place < scoring.num_self + scoring.scored.total
        own = torch.searchsorted(scoring.self_place, place).clamp(max=lanes.depth.shape[0] - 1)
        row = torch.searchsorted(scoring.scored.inclusive, (place - scoring.num_self + 1).int())
        row = row.clamp(max=row_lane.shape[0] - 1)
        state_lane = torch.where(is_self, own, row_lane[row])
        states = torch.where(is_self.unsqueeze(1), lanes.observed[own], row_atoms[row])
        return torch.where(is_state.unsqueeze(1), states, 0), torch.where(is_state, state_lane, 0)

    @staticmethod
    def _pairs(
        lanes: LaneState, states: Tensor, state_lane: Tensor, num_self: Tensor, endf_atom: int
    ) -> Tensor:
        """Returns pairs ``[N, 2 W]`` of a lane's state and an action; the action of the first ``num_self`` is
        ``Endf``.
        """
        endf = torch.zeros_like(states)
        endf[:, 0] = endf_atom
        is_self = torch.arange(states.shape[0], device=states.device) < num_self
        return torch.cat([lanes.observed[state_lane], torch.where(is_self.unsqueeze(1), endf, states)], dim=1)

    def step_functional(
        self,
        lanes: LaneState,
        observation: EvalObs,
        features: Tensor,
        endf_feature: Tensor,
        logit_scale: float,
        recorded: Tensor,
    ) -> tuple[LaneState, Tensor, Tensor]:
        """Selects an action for each lane whose actions are scored, and moves all lanes that can move.

        Args:
            lanes: the trajectories.
            observation: result of :meth:`observe` for them.
            features: ``[N, E]`` float, the network's vectors of ``observation.states``; of pairs ``[N, 1]``, their
                logits before the scale.
            endf_feature: ``[E]`` float, the vector of ``[Endf]``.
            logit_scale: factor by which a dot product becomes a logit.
            recorded: ``[P + 1, T]``, actions to take instead of the policy's, or ``NOT_RECORDED``.

        Returns:
            The lanes after the tick, whether each has ended, and whether it ended in success, ``[B]`` bool each.
        """
        feature = torch.where(
            observation.needs_feature.unsqueeze(1),
            features[torch.where(observation.needs_feature, observation.self_place, 0)],
            lanes.feature,
        )
        logits = self._logits(observation, features, feature, endf_feature, logit_scale)
        selection = self._select(logits)
        taken = self._take(lanes, observation, selection, recorded)
        move = self._move(lanes, observation, taken)
        lanes = self._record(lanes, observation, selection, taken, move)
        lanes = self._remember(lanes, observation, move.row, move.is_moved)
        lanes = self._place(lanes, observation, taken, move, features, feature)
        return lanes, move.is_ended, observation.is_proved

    def _take(
        self, lanes: LaneState, observation: EvalObs, selection: Selection, recorded: Tensor
    ) -> TakenAction:
        """Returns the recorded action of each lane's step, or the selected one if there is none."""
        settings, is_scored = self.settings, observation.is_scored
        wanted = recorded[lanes.candidate, lanes.depth.clamp(max=settings.max_depth - 1)].long()
        is_given = wanted != NOT_RECORDED
        num_choices = observation.num_actions + int(settings.end_proof_action)
        num_choices = torch.where(is_scored, num_choices, 1)
        is_wrong = is_given & ((wanted >= num_choices) | (wanted < 0))
        chosen = torch.where(is_given & ~is_wrong, wanted, selection.chosen)
        chosen = torch.where(is_scored, chosen, 0)
        log_probability = selection.log_probabilities.gather(1, chosen.unsqueeze(1)).squeeze(1)
        return TakenAction(chosen, log_probability, is_wrong)

    def _move(self, lanes: LaneState, observation: EvalObs, taken: TakenAction) -> Move:
        """Computes the effect of the taken action on each lane."""
        settings, is_scored = self.settings, observation.is_scored
        is_step = is_scored | observation.is_single | observation.is_proved | observation.is_failed
        is_endf = is_scored & (taken.chosen == observation.num_actions) & settings.end_proof_action
        depth = lanes.depth + is_step
        is_ended = observation.is_stuck | observation.is_proved | observation.is_failed | is_endf
        is_ended = is_ended | (is_step & (depth >= settings.max_depth))
        is_moved = is_step & ~is_ended
        is_placed = is_moved | observation.is_skipping
        # The row of the chosen action, from its rank among the scored rows of the lane.
        rank = counted_before(observation.action_tally, observation.row_begin) + taken.chosen + 1
        chosen_row = torch.searchsorted(observation.action_tally, rank.int())
        row = torch.where(is_scored & ~is_endf, chosen_row, observation.single_row)
        return Move(is_step, depth, is_ended, is_moved, is_placed, torch.where(is_placed, row, 0))

    def _record(
        self,
        lanes: LaneState,
        observation: EvalObs,
        selection: Selection,
        taken: TakenAction,
        move: Move,
    ) -> LaneState:
        """Adds the taken action to the data of the outcome."""
        is_scored = observation.is_scored
        largest_logit = torch.maximum(lanes.largest_logit, selection.largest_logit)
        step = torch.arange(self.settings.max_depth, device=taken.chosen.device)
        is_this_step = (step == lanes.depth.unsqueeze(1)) & move.is_step.unsqueeze(1)
        return lanes._replace(
            log_probability=lanes.log_probability + torch.where(is_scored, taken.log_probability, 0.0),
            largest_logit=torch.where(is_scored, largest_logit, lanes.largest_logit),
            passes_near_tie=lanes.passes_near_tie | (is_scored & selection.is_near_tie),
            is_ambiguous=lanes.is_ambiguous | observation.is_ambiguous,
            is_broken=lanes.is_broken | (is_scored & ~selection.is_finite) | (move.is_step & taken.is_wrong),
            actions=torch.where(
                is_this_step, taken.chosen.to(lanes.actions.dtype).unsqueeze(1), lanes.actions
            ),
        )

    def _place(
        self,
        lanes: LaneState,
        observation: EvalObs,
        taken: TakenAction,
        move: Move,
        features: Tensor,
        feature: Tensor,
    ) -> LaneState:
        """Puts the lanes into their next states.

        Args:
            lanes: the trajectories.
            observation: observation of this tick.
            taken: the actions.
            move: their effect.
            features: ``[N, E]`` float, vectors of all states that were scored.
            feature: ``[B, E]`` float, vectors of the observed states.
        """
        is_moved, is_placed = move.is_moved, move.is_placed
        has_next_feature = is_moved & observation.is_scored
        if self._endf_of_pairs is not None:
            # What was computed of the next state is its logit as an action.
            has_next_feature = torch.zeros_like(has_next_feature)
        place = torch.where(has_next_feature, observation.score_begin + taken.chosen, 0)
        atoms = torch.where(is_placed.unsqueeze(1), observation.row_atoms[move.row], lanes.atoms)
        has_feature = lanes.has_feature | observation.needs_feature
        return lanes._replace(
            atoms=atoms,
            observed=torch.where(is_moved.unsqueeze(1), atoms, lanes.observed),
            feature=torch.where(has_next_feature.unsqueeze(1), features[place], feature),
            has_feature=torch.where(is_moved, has_next_feature, has_feature),
            next_variable=torch.where(is_placed, observation.next_variable, lanes.next_variable),
            depth=move.depth,
            num_skipped=torch.where(is_moved, 0, lanes.num_skipped + observation.is_skipping),
            num_checked=torch.where(is_placed, 0, observation.num_checked),
            is_proved=torch.where(is_placed, False, observation.is_found),
        )

    def _logits(
        self,
        observation: EvalObs,
        features: Tensor,
        feature: Tensor,
        endf_feature: Tensor,
        logit_scale: float,
    ) -> Tensor:
        """Returns each lane's logits ``[B, S]`` float64, minus infinity where there is no action."""
        if self._endf_of_pairs is None:
            per_state = (features * feature[observation.state_lane]).sum(dim=1) * logit_scale
            of_endf = (feature * endf_feature).sum(dim=1) * logit_scale
        else:
            per_state, of_endf = features[:, 0] * logit_scale, feature[:, 0] * logit_scale
        column = torch.arange(self.settings.padding_states, device=features.device)
        is_action = column < observation.num_actions.unsqueeze(1)
        place = torch.where(is_action, observation.score_begin.unsqueeze(1) + column, 0)
        place = place.clamp(max=per_state.shape[0] - 1)
        logits = torch.where(is_action, per_state[place].double(), -torch.inf)
        if self.settings.end_proof_action:
            is_endf = column == observation.num_actions.unsqueeze(1)
            logits = torch.where(is_endf, of_endf.double().unsqueeze(1), logits)
        return torch.where(observation.is_scored.unsqueeze(1), logits, 0.0)

    @staticmethod
    def _select(logits: Tensor) -> Selection:
        """Selects from ``logits`` ``[B, S]`` float64 by the rule of ``proofrank.core.prover.choice``."""
        column = torch.arange(logits.shape[1], device=logits.device)
        is_action = logits != -torch.inf
        largest = logits.amax(dim=1, keepdim=True)
        is_best = logits >= largest - TIE_TOLERANCE * (1.0 + largest.abs())
        chosen = torch.where(is_best, column, logits.shape[1] - 1).amin(dim=1)
        log_total = torch.log(torch.exp(logits - largest).sum(dim=1, keepdim=True))
        absolute = torch.where(is_action, logits.abs(), 0.0)
        is_finite = absolute.isfinite().all(dim=1)
        # With a logit that is not finite, no action is the best; any existing one serves, because the outcome is an
        # error.
        return Selection(
            chosen=torch.where(is_finite, chosen, 0),
            log_probabilities=logits - largest - log_total,
            largest_logit=absolute.amax(dim=1),
            is_near_tie=is_best.sum(dim=1) > 1,
            is_finite=is_finite,
        )

    @staticmethod
    def _remember(lanes: LaneState, observation: EvalObs, row: Tensor, is_moved: Tensor) -> LaneState:
        """Adds the state that a lane leaves, or skips through, to the visited states."""
        is_added = is_moved | observation.is_skipping
        is_skipping = observation.is_skipping.unsqueeze(1)
        atoms = torch.where(is_skipping, observation.row_atoms[row], lanes.observed)
        slots = torch.arange(lanes.visited_hash.shape[1], device=row.device)
        is_slot = (slots == lanes.num_visited.unsqueeze(1)) & is_added.unsqueeze(1)
        return lanes._replace(
            visited_hash=torch.where(is_slot, set_hash(atoms).unsqueeze(1), lanes.visited_hash),
            visited_atoms=torch.where(is_slot.unsqueeze(2), atoms.unsqueeze(1), lanes.visited_atoms),
            num_visited=lanes.num_visited + is_added,
        )

    def has_fallen_behind(self, lanes: LaneState, pool: CandidatePool) -> Tensor:
        """Whether each lane's candidate is certain to score below its threshold, ``[B]`` bool.

        See :meth:`proofrank.core.prover.Candidate.has_fallen_behind`; an idle lane's answer means nothing. That a
        candidate has no proof is known from the pool, or from the set of atoms that may have one.
        """
        penalty, threshold = pool.penalty[lanes.candidate], pool.threshold[lanes.candidate]
        provable = self.engine.tables.provable
        if provable is not None:
            may_be_proved = provable.contains(pool.atom[lanes.candidate])
            penalty = torch.where(may_be_proved, penalty, FAILURE_PENALTY)
        return lanes.log_probability - penalty < threshold

    def retire(
        self, lanes: LaneState, pool: CandidatePool, is_ended: Tensor, success: Tensor, is_pruned: Tensor
    ) -> LaneState:
        """Writes the outcomes of ended lanes into ``pool``, in place, and frees the lanes.

        Args:
            lanes: the trajectories.
            pool: takes the outcomes.
            is_ended: ``[B]`` bool, the lanes whose trajectory has ended.
            success: ``[B]`` bool, of those, the ones that are proved.
            is_pruned: ``[B]`` bool, of those, the ones that ended because they had fallen behind.
        """
        place = torch.where(is_ended, lanes.candidate, pool.size)
        pool.is_done.index_fill_(0, place, True)
        pool.success[place] = success
        pool.log_probability[place] = lanes.log_probability
        pool.steps[place] = lanes.depth
        pool.actions[place] = lanes.actions
        pool.passes_near_tie[place] = lanes.passes_near_tie
        pool.largest_logit[place] = lanes.largest_logit
        pool.is_ambiguous[place] = lanes.is_ambiguous
        pool.is_broken[place] = lanes.is_broken
        pool.is_pruned[place] = is_pruned
        return lanes._replace(
            candidate=torch.where(is_ended, IDLE, lanes.candidate),
            excluded=torch.where(is_ended, NO_FACT, lanes.excluded),
        )


def evaluate_trajectory_compiled(advance: Callable[[], None], is_finished: Callable[[], bool]) -> None:
    """Calls ``advance`` until ``is_finished``.

    It compiles nothing itself; the name is kept for users of the environment. One tick is repeated, whatever the length
    of a trajectory, so the compiler sees only the tick, which ``advance`` runs, and never this loop.

    Args:
        advance: moves every lane by one step or several, and gives lanes to waiting candidates.
        is_finished: returns whether nothing waits or runs; called before each ``advance``.
    """
    while not is_finished():
        advance()
