"""The original evaluator, written to be read: the oracle that every faster one must agree with.

In: a candidate triple and a function that gives logits to the actions of a state. Out: the outcome of the trajectory
that the policy takes, with every step on request. It is plain Python over tuples and dicts, proves one candidate at a
time, and is never tuned for speed. ``docs/semantics.md`` describes the same in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from proofrank.core.graph import Dataset, Rule
from proofrank.core.prover.choice import Choice, first_of_the_best, is_near_tie, log_softmax
from proofrank.core.prover.outcome import Atom, Candidate, Outcome, ProofStep, State
from proofrank.core.prover.settings import MAX_SKIPPED_UNARY_ACTIONS, ProverSettings
from proofrank.core.prover.unification import Substitution, resolve, substitute, unify

Scorer = Callable[[State, Sequence[State]], Sequence[float]]
"""Takes a state and its actions' states and returns the actions' logits."""


class Resolvent(NamedTuple):
    """The result of resolving a goal.

    Attributes:
        source: the rule or fact that the goal was resolved with.
        body: the atoms that the rule put in place of the goal; none for a fact.
        substitution: values of the variables of the goal and of the rule.
        state: body and remaining goals under the substitution, without known atoms.
    """

    source: Rule | Atom
    body: State
    substitution: Substitution
    state: State


class Actions(NamedTuple):
    """The actions of a state.

    Attributes:
        states: the state after each action, never empty.
        next_variable: the next free run-time variable.
        skipped: the states that were passed to find the actions, with ``skip_unary_actions``.
        is_stuck: whether more single actions than allowed were skipped, so that the trajectory ends in failure.
    """

    states: tuple[State, ...]
    next_variable: int
    skipped: tuple[State, ...] = ()
    is_stuck: bool = False


class ReferenceProver:
    """Proves candidates over one graph under one choice of settings."""

    def __init__(self, dataset: Dataset, settings: ProverSettings) -> None:
        self.settings = settings
        self._facts = dataset.facts
        self._rules = dataset.rules_by_predicate
        self._num_constants = dataset.vocabulary.num_constants
        self.first_variable = dataset.vocabulary.first_variable_index
        self.true_state: State = ((dataset.vocabulary.true_index, 0, 0),)
        self.false_state: State = ((dataset.vocabulary.false_index, 0, 0),)
        self.endf_state: State = ((dataset.vocabulary.endf_index, 0, 0),)
        self._terminal_states = (self.true_state, self.false_state, self.endf_state)

    def prove(
        self,
        candidate: Candidate,
        scorer: Scorer,
        *,
        choose: Choice = first_of_the_best,
        with_trace: bool = False,
    ) -> Outcome:
        """Returns the trajectory of ``candidate`` under the policy behind ``scorer``.

        Args:
            candidate: the triple to prove; a positive is never a fact of its own proof.
            scorer: gives the logits of a state's actions; not called for a single action.
            choose: picks an action from the logits.
            with_trace: whether the outcome holds every step.

        Raises:
            EvaluationError: ``choose`` has no action for a step.
        """
        state: State = (candidate.triple,)
        excluded = state[0] if candidate.is_positive else None
        visited: set[frozenset[Atom]] = {frozenset(state)}
        next_variable = self.first_variable
        actions = self.actions(state, next_variable, visited, excluded)
        total = largest_logit = 0.0
        passes_near_tie = is_pruned = False
        chosen_actions: list[int] = []
        trace: list[ProofStep] = []
        while True:
            # A single action is taken with probability 1, whatever its logit.
            logits = (0.0,) if len(actions.states) == 1 else tuple(scorer(state, actions.states))
            chosen = choose(logits)
            log_probability = log_softmax(logits)[chosen]
            total += log_probability
            largest_logit = max(largest_logit, *(abs(logit) for logit in logits), 0.0)
            passes_near_tie |= is_near_tie(logits)
            chosen_actions.append(chosen)
            if with_trace:
                trace.append(
                    ProofStep(
                        state, next_variable, actions.skipped, actions.states, logits, chosen, log_probability
                    )
                )
            state = actions.states[chosen]
            if state in self._terminal_states or len(chosen_actions) >= self.settings.max_depth:
                break
            is_pruned = candidate.has_fallen_behind(total)
            if is_pruned:
                break
            next_variable = actions.next_variable
            actions = self.actions(state, next_variable, visited, excluded)
            if actions.is_stuck:
                break
        return Outcome(
            success=state == self.true_state,
            log_probability=total,
            steps=len(chosen_actions),
            actions=tuple(chosen_actions),
            passes_near_tie=passes_near_tie,
            largest_logit=largest_logit,
            trace=tuple(trace) if with_trace else None,
            is_pruned=is_pruned,
        )

    def actions(
        self, state: State, next_variable: int, visited: set[frozenset[Atom]], excluded: Atom | None
    ) -> Actions:
        """Returns the actions of ``state``; adds it, and every state skipped on the way, to ``visited``.

        Args:
            state: the goals, the first of which is resolved.
            next_variable: the next free run-time variable.
            visited: the states that actions were computed for, each as a set of atoms.
            excluded: the fact that must not be used, if there is one.
        """
        if state in self._terminal_states:
            return Actions((state,), next_variable)
        resolvents, next_variable = self.resolvents(state, next_variable, excluded)
        skipped: tuple[State, ...] = ()
        if self.settings.skip_unary_actions:
            resolvents, next_variable, skipped = self._skip_unary(
                resolvents, next_variable, visited, excluded
            )
        visited.add(frozenset(state))
        kept = self._without_visited_and_large(resolvents, visited)
        if not kept:
            kept = [self.false_state]
        if self.settings.end_proof_action:
            kept = kept[: self.settings.padding_states - 1]
            if self.true_state not in kept and self.false_state not in kept:
                kept.append(self.endf_state)
        is_stuck = len(skipped) > MAX_SKIPPED_UNARY_ACTIONS
        return Actions(tuple(kept), next_variable, skipped, is_stuck)

    def resolvents(self, state: State, next_variable: int, excluded: Atom | None) -> tuple[list[State], int]:
        """Returns the states that resolving the first goal gives: by rules, then by facts, before visited and size
        checks.

        Only ``[True]`` where one of them is proved, only ``[False]`` where there is none, else the first
        ``padding_states``.

        Returns:
            The states, and the next free run-time variable.
        """
        resolvents = list(self.resolve_first_goal(state, next_variable, excluded))
        states = [resolvent.state for resolvent in resolvents]
        if () in states:  # nothing left to prove
            return [self.true_state], next_variable
        if not states:
            return [self.false_state], next_variable
        num_fresh = max(
            resolvent.source.num_fresh_variables if isinstance(resolvent.source, Rule) else 0
            for resolvent in resolvents
        )
        return states[: self.settings.padding_states], next_variable + num_fresh

    def resolve_first_goal(
        self, state: State, next_variable: int, excluded: Atom | None
    ) -> Iterator[Resolvent]:
        """Yields every resolvent of the first goal of ``state``: by rules in their order, then by facts in theirs."""
        goal, remaining = state[0], state[1:]
        for rule in self._rules.get(goal[0], ()):
            substitution = unify(rule.head, goal, self._num_constants)
            if substitution is not None:
                body = self._instantiate(rule, substitution, next_variable)
                after = body + substitute(remaining, substitution)
                yield Resolvent(rule, body, substitution, self._without_known(after, excluded))
        for fact in self._facts_for(goal):
            substitution = unify(fact, goal, self._num_constants) if fact != excluded else None
            if substitution is not None:
                after = substitute(remaining, substitution)
                yield Resolvent(fact, (), substitution, self._without_known(after, excluded))

    def _instantiate(self, rule: Rule, substitution: Substitution, next_variable: int) -> State:
        """Returns the body of ``rule``, its own variables fresh: numbered from ``next_variable`` as they appear."""
        fresh: Substitution = {}

        def argument(value: int) -> int:
            value = resolve(value, substitution)
            return fresh.setdefault(value, next_variable + len(fresh)) if value < 0 else value

        return tuple((predicate, argument(first), argument(second)) for predicate, first, second in rule.body)

    def _facts_for(self, goal: Atom) -> Sequence[Atom]:
        """Returns the facts that may match ``goal``, in ascending order: those that agree with its constants."""
        predicate, first, second = goal
        if first <= self._num_constants and second <= self._num_constants:
            return (goal,) if goal in self._facts else ()
        if first <= self._num_constants:
            return self._facts.with_first(predicate, first)
        if second <= self._num_constants:
            return self._facts.with_second(predicate, second)
        return self._facts.with_predicate(predicate)

    def _without_known(self, atoms: State, excluded: Atom | None) -> State:
        """Returns ``atoms`` without those that are facts; an atom with a variable never is one."""
        return tuple(atom for atom in atoms if atom not in self._facts or atom == excluded)

    def _without_visited_and_large(self, states: list[State], visited: set[frozenset[Atom]]) -> list[State]:
        return [
            state
            for state in states
            if len(state) <= self.settings.padding_atoms
            and not (self.settings.memory_pruning and frozenset(state) in visited)
        ]

    def _skip_unary(
        self,
        resolvents: list[State],
        next_variable: int,
        visited: set[frozenset[Atom]],
        excluded: Atom | None,
    ) -> tuple[list[State], int, tuple[State, ...]]:
        """Follows single resolvents until there is a choice, an end, or too many of them.

        The count that decides is of resolvents, before visited and size checks in the state that is left,
        after them in the states on the way.

        Returns:
            The resolvents of the state reached, the next free run-time variable, and the states skipped: one
            more than allowed where it went on too long.
        """
        skipped: list[State] = []
        while len(resolvents) == 1 and resolvents[0] not in self._terminal_states:
            state = resolvents[0]
            skipped.append(state)
            resolvents, next_variable = self.resolvents(state, next_variable, excluded)
            visited.add(frozenset(state))
            resolvents = self._without_visited_and_large(resolvents, visited)
            if len(skipped) > MAX_SKIPPED_UNARY_ACTIONS:
                return [self.false_state], next_variable, tuple(skipped)
        return resolvents, next_variable, tuple(skipped)
