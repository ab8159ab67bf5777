"""Resolution for many lanes at once: count a goal's matches, look for immediate proofs, build resolvents.

Results and their order are those of :class:`core.prover.reference.ReferenceProver`, on packed atoms. Shapes: ``B``
lanes, ``R`` rows (a row is one choice, rule or fact, of one lane), ``W`` atoms of a working state, ``L`` atoms of the
longest body, ``K = L + W - 1``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from proofrank.core.prover.packing import first_of, pack, predicate_of, second_of
from proofrank.core.prover.tables import (
    BY_FIRST,
    BY_LOOP,
    BY_SECOND,
    FRESH,
    FROM_FIRST,
    FROM_SECOND,
    GraphTables,
    lower_bound_keys,
    upper_bound_keys,
)


class Matches(NamedTuple):
    """The rules and facts that the first goal of each lane can be resolved with, all ``[B]`` int64.

    A lane's choices are its rules, then its facts.
    """

    rule_offset: Tensor
    num_rules: Tensor
    fact_offset: Tensor
    num_facts: Tensor


class Resolvents(NamedTuple):
    """Rows of resolvents.

    Attributes:
        atoms: ``[R, W]`` int64, without known atoms, padded; cut if there are more than W.
        num_atoms: ``[R]`` integers, number before that cut.
        is_valid: ``[R]`` bool, whether the choice unifies with the goal and is not the excluded fact.
        num_fresh: ``[R]`` int64, fresh variables of the rule; 0 for a fact.
    """

    atoms: Tensor
    num_atoms: Tensor
    is_valid: Tensor
    num_fresh: Tensor


class UnificationEngineVectorized:
    """Resolves the first goals of lanes."""

    def __init__(self, tables: GraphTables, working_atoms: int) -> None:
        """Makes an engine over one graph.

        Args:
            tables: the graph.
            working_atoms: W, the maximum number of atoms of a state that is resolved.
        """
        self.tables = tables
        self.working_atoms = working_atoms

    def matches(self, goals: Tensor) -> Matches:
        """Finds the rules and facts that resolve each of ``goals`` ``[B]`` int64; none for padding."""
        tables = self.tables
        predicate, first, second = predicate_of(goals), first_of(goals), second_of(goals)
        has_first = first <= tables.num_constants
        has_second = second <= tables.num_constants
        is_loop = (first == second) & ~has_first
        order = torch.where(is_loop, BY_LOOP, torch.where(has_first, BY_FIRST, BY_SECOND))
        order = torch.where(~has_first & ~has_second & ~is_loop, BY_FIRST, order)
        argument = torch.where(has_first, first, torch.where(has_second, second, 0))
        # A ground goal matches one fact or none; its range is that of the whole key.
        is_ground = has_first & has_second
        low = torch.where(is_ground, goals, lower_bound_keys(order, predicate, argument))
        high = torch.where(is_ground, goals, upper_bound_keys(order, predicate, argument))
        begin = torch.searchsorted(tables.search_keys, low)
        end = torch.searchsorted(tables.search_keys, high, right=True)
        is_goal = goals != 0
        return Matches(
            tables.rule_offset[predicate],
            tables.num_rules[predicate] * is_goal,
            begin,
            (end - begin) * is_goal,
        )

    def may_be_proved_by_fact(self, atoms: Tensor) -> Tensor:
        """Returns whether a fact for the first goal can leave the others ground, ``[B]`` bool.

        Args:
            atoms: ``[B, W]`` int64.
        """
        goal_first, goal_second = first_of(atoms[:, :1]), second_of(atoms[:, :1])
        is_bound = torch.ones(atoms.shape[0], dtype=torch.bool, device=atoms.device)
        for argument in (first_of(atoms[:, 1:]), second_of(atoms[:, 1:])):
            is_free = (
                (argument > self.tables.num_constants) & (argument != goal_first) & (argument != goal_second)
            )
            is_bound = is_bound & ~is_free.any(dim=1)
        return is_bound

    def proves_at_once(self, fact: Tensor, atoms: Tensor, excluded: Tensor, *, is_trimming: bool) -> Tensor:
        """Returns whether resolving with ``fact`` leaves nothing to prove, ``[R]`` bool.

        Args:
            fact: ``[R]`` int64, a match of the row's first goal.
            atoms: ``[R, W]`` int64, the row's state.
            excluded: ``[R]`` int64, the fact that must not be used, or -1.
            is_trimming: whether rows may be dropped as soon as they have failed, which reads a count back.
        """
        goal = atoms[:, 0]
        bound_first, bound_second, unifies = self._unify(first_of(fact), second_of(fact), goal)
        is_proof = unifies & (fact != excluded)
        rows = (goal, atoms, excluded, bound_first, bound_second)
        index = None
        if is_trimming:
            index = torch.nonzero(is_proof).squeeze(1)
            rows = tuple(tensor[index] for tensor in rows)
        for column in range(1, self.working_atoms):
            goal, atoms, excluded, bound_first, bound_second = rows
            atom = self._substitute(atoms[:, column : column + 1], goal, bound_first, bound_second).squeeze(1)
            holds = (atom == 0) | (self.tables.facts.contains(atom) & (atom != excluded))
            if index is None:
                is_proof = is_proof & holds
            else:
                kept = torch.nonzero(holds).squeeze(1)
                index = index[kept]
                rows = tuple(tensor[kept] for tensor in rows)
        if index is not None:
            is_proof = torch.zeros_like(is_proof)
            is_proof[index] = True
        return is_proof

    def resolve(
        self,
        choice: Tensor,
        atoms: Tensor,
        next_variable: Tensor,
        excluded: Tensor,
        matches: Matches,
        is_row: Tensor,
        *,
        is_trimming: bool,
    ) -> Resolvents:
        """Builds the resolvents of rows.

        Args:
            choice: ``[R]`` int64, index among the choices of the row's lane: its rules, then its facts.
            atoms: ``[R, W]`` int64, the state of the row's lane.
            next_variable: ``[R]`` int64, its next free run-time variable.
            excluded: ``[R]`` int64, the fact that must not be used, or -1.
            matches: matches of the row's lane, ``[R]`` each.
            is_row: ``[R]`` bool, whether there is such a choice.
            is_trimming: whether this is for a CPU, uncompiled.
        """
        tables = self.tables
        goal = atoms[:, 0]
        is_rule = choice < matches.num_rules
        rule = torch.where(is_rule & is_row, matches.rule_offset + choice, 0)
        match = torch.where(is_rule | ~is_row, 0, matches.fact_offset + choice - matches.num_rules)
        fact = tables.matches[match]
        head = tables.rule_head[rule]
        head_first = torch.where(is_rule, head[:, 0], first_of(fact))
        head_second = torch.where(is_rule, head[:, 1], second_of(fact))
        bound_first, bound_second, unifies = self._unify(head_first, head_second, goal)
        is_valid = is_row & unifies & (is_rule | (fact != excluded))
        body = self._instantiate(tables.rule_body[rule], bound_first, bound_second, next_variable)
        body = torch.where(is_rule.unsqueeze(1), body, 0)
        remaining = self._substitute(atoms[:, 1:], goal, bound_first, bound_second)
        after = torch.cat([body, remaining], dim=1)
        is_known = tables.facts.contains(after) & (after != excluded.unsqueeze(1))
        compacted, num_atoms = self._compact(after, (after != 0) & ~is_known, is_trimming=is_trimming)
        return Resolvents(compacted, num_atoms, is_valid, torch.where(is_rule, tables.num_fresh[rule], 0))

    def _unify(self, head_first: Tensor, head_second: Tensor, goal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unifies heads with goals, position by position, as ``proofrank.core.prover.unification.unify`` does.

        Args:
            head_first: ``[R]`` int64, a constant above 0 or a rule's variable below.
            head_second: ``[R]`` int64.
            goal: ``[R]`` int64.

        Returns:
            The values of the goal's first and second arguments, and whether head and goal unify, ``[R]`` each.
        """
        num_constants = self.tables.num_constants
        first, second = first_of(goal), second_of(goal)
        # First position: a constant of the head binds a variable of the goal, at both places where it occurs.
        is_constant = head_first > 0
        unifies = ~is_constant | (first > num_constants) | (first == head_first)
        bound_second = torch.where(
            is_constant & (first > num_constants) & (second == first), head_first, second
        )
        bound_first = torch.where(is_constant & (first > num_constants), head_first, first)
        # Second position, under the bindings of the first.
        is_constant = head_second > 0
        is_variable = bound_second > num_constants
        unifies = unifies & (~is_constant | is_variable | (bound_second == head_second))
        binds = is_constant & is_variable
        bound_first = torch.where(binds & (bound_first == bound_second), head_second, bound_first)
        bound_second = torch.where(binds, head_second, bound_second)
        # A variable that the head repeats makes both arguments equal.
        repeats = (head_first < 0) & (head_first == head_second) & (bound_first != bound_second)
        is_variable_first, is_variable_second = bound_first > num_constants, bound_second > num_constants
        unifies = unifies & (~repeats | is_variable_first | is_variable_second)
        equal = torch.where(is_variable_second, bound_first, bound_second)
        return torch.where(repeats, equal, bound_first), torch.where(repeats, equal, bound_second), unifies

    def _substitute(self, atoms: Tensor, goal: Tensor, bound_first: Tensor, bound_second: Tensor) -> Tensor:
        """Returns ``atoms`` ``[R, n]`` with the goal's arguments replaced by their values; padding stays."""
        goal_first, goal_second = first_of(goal).unsqueeze(1), second_of(goal).unsqueeze(1)
        bound_first, bound_second = bound_first.unsqueeze(1), bound_second.unsqueeze(1)

        def bound(argument: Tensor) -> Tensor:
            # A constant is bound to itself, so atoms with constants are not changed here.
            return torch.where(
                argument == goal_first,
                bound_first,
                torch.where(argument == goal_second, bound_second, argument),
            )

        return pack(predicate_of(atoms), bound(first_of(atoms)), bound(second_of(atoms)))

    def _instantiate(
        self, body: Tensor, bound_first: Tensor, bound_second: Tensor, next_variable: Tensor
    ) -> Tensor:
        """Returns bodies ``[R, L, 3]`` as packed atoms ``[R, L]``."""
        bound_first, bound_second = bound_first.unsqueeze(1), bound_second.unsqueeze(1)
        next_variable = next_variable.unsqueeze(1)

        def value(code: Tensor) -> Tensor:
            fresh = next_variable + (FRESH - code)
            of_goal = torch.where(code == FROM_FIRST, bound_first, bound_second)
            return torch.where(code >= 0, code, torch.where(code >= FROM_SECOND, of_goal, fresh))

        predicate = body[:, :, 0]
        atoms = pack(predicate, value(body[:, :, 1]), value(body[:, :, 2]))
        return torch.where(predicate == 0, 0, atoms)

    def _compact(self, atoms: Tensor, is_kept: Tensor, *, is_trimming: bool) -> tuple[Tensor, Tensor]:
        """Moves the kept atoms to the front in order; returns the first W ``[R, W]`` and the number of all ``[R]``.

        Args:
            atoms: ``[R, K]`` int64.
            is_kept: ``[R, K]`` bool.
            is_trimming: whether this is for a CPU, uncompiled: an atom is written into its place there. A compiler
                makes two launches of that, and none of a place that looks for its atom.
        """
        # A compiled tick keeps the places between two launches; written with a scatter, they must be int64.
        place = torch.cumsum(is_kept, dim=1, dtype=torch.int64 if is_trimming else torch.int32)
        width = self.working_atoms
        if is_trimming:
            target = torch.where(is_kept & (place <= width), place - 1, width)
            compacted = torch.zeros(atoms.shape[0], width + 1, dtype=atoms.dtype, device=atoms.device)
            return compacted.scatter(1, target, atoms)[:, :width], place[:, -1]
        column = torch.arange(1, width + 1, dtype=torch.int32, device=atoms.device)
        is_here = is_kept.unsqueeze(2) & (place.unsqueeze(2) == column)
        return torch.where(is_here, atoms.unsqueeze(2), 0).sum(dim=1), place[:, -1]
