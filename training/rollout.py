"""Rolls candidates out under a policy, many at a time, and collects the states that they reach.

The steps are those of :class:`proofrank.core.prover.ReferenceProver`; only the network is batched here. Logits may
differ from the evaluator's in the last bits, which does not matter for learning; reported results come from an
evaluator of ``core``.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from proofrank.core.policy import PolicyNetwork
from proofrank.core.prover import Atom, Candidate, ReferenceProver, State, first_of_the_best
from proofrank.training.batches import pack_states

LogitsOf = Callable[[Sequence["Choosing"]], list[list[float]]]
"""A function that returns the logits of the actions in each of several choices."""


@dataclass(frozen=True)
class Choosing:
    """A state with more than one action that a trajectory reached.

    Attributes:
        candidate: candidate that is being proved.
        excluded: the fact that must not be used, if there is one.
        state: the goals.
        actions: the states to choose from, at least two.
    """

    candidate: Candidate
    excluded: Atom | None
    state: State
    actions: tuple[State, ...]


@dataclass(frozen=True)
class Rolled:
    """The end of a trajectory.

    Attributes:
        success: whether it was proved.
        log_probability: sum of the log-probabilities of the steps.
        choices: the states with more than one action on its way.
    """

    success: bool
    log_probability: float
    choices: tuple[Choosing, ...]


class _Trajectory:
    """The changing part of a roll-out: one candidate's trajectory so far."""

    def __init__(self, prover: ReferenceProver, first_variable: int, candidate: Candidate) -> None:
        self._prover = prover
        self._candidate = candidate
        self._state: State = (candidate.triple,)
        self._excluded: Atom | None = candidate.triple if candidate.is_positive else None
        self._visited: set[frozenset[Atom]] = {frozenset(self._state)}
        self._next_variable = first_variable
        self._steps = 0
        self._log_probability = 0.0
        self._choices: list[Choosing] = []
        self._num_choices = 0
        self.success: bool | None = None
        self.actions: tuple[State, ...] = ()
        self._find_actions()

    def choose(self, logits: Sequence[float]) -> None:
        """Takes the best action, then continues to the next choice or the end."""
        chosen = first_of_the_best(logits)
        largest = max(logits)
        total = math.fsum(math.exp(logit - largest) for logit in logits)
        self._log_probability += logits[chosen] - largest - math.log(total)
        self._num_choices += 1
        self._move(self.actions[chosen])

    def pass_single_actions(self) -> None:
        """Continues to the next choice or the end."""
        while self.success is None and len(self.actions) == 1:
            self._move(self.actions[0])

    def _move(self, state: State) -> None:
        self._state = state
        self._steps += 1
        is_terminal = state in (self._prover.true_state, self._prover.false_state, self._prover.endf_state)
        if is_terminal or self._steps >= self._prover.settings.max_depth:
            self.success = state == self._prover.true_state
        else:
            self._find_actions()

    def _find_actions(self) -> None:
        found = self._prover.actions(self._state, self._next_variable, self._visited, self._excluded)
        self._next_variable = found.next_variable
        self.actions = found.states
        if found.is_stuck:
            self.success = False
        elif len(found.states) > 1:
            self._choices.append(Choosing(self._candidate, self._excluded, self._state, found.states))

    @property
    def num_choices(self) -> int:
        """Number of choices taken."""
        return self._num_choices

    @property
    def choosing(self) -> Choosing:
        """The current choice."""
        return self._choices[-1]

    def result(self) -> Rolled:
        """Returns the end of the trajectory."""
        return Rolled(bool(self.success), self._log_probability, tuple(self._choices[: self._num_choices]))


def roll_out(
    prover: ReferenceProver,
    first_variable: int,
    candidates: Iterable[Candidate],
    logits_of: LogitsOf,
    *,
    most_choices: int | None = None,
    lanes: int = 512,
) -> Iterator[Rolled]:
    """Yields the trajectories of ``candidates``, in order.

    Args:
        prover: defines the steps.
        first_variable: the first free run-time variable.
        candidates: candidates to prove.
        logits_of: the policy.
        most_choices: number of choices after which a trajectory is given up; None to continue to its end.
        lanes: number of trajectories to move at a time.
    """
    remaining = iter(candidates)
    while batch := [
        _Trajectory(prover, first_variable, candidate) for candidate in itertools.islice(remaining, lanes)
    ]:
        active = batch
        while active:
            for trajectory in active:
                trajectory.pass_single_actions()
            active = [
                trajectory
                for trajectory in active
                if trajectory.success is None and trajectory.num_choices != most_choices
            ]
            logits = logits_of([trajectory.choosing for trajectory in active])
            for trajectory, own in zip(active, logits, strict=True):
                trajectory.choose(own)
        for trajectory in batch:
            yield trajectory.result()


def logits_of_network(network: PolicyNetwork) -> LogitsOf:
    """Makes the policy of ``network``."""

    @torch.inference_mode()
    def logits_of(choosing: Sequence[Choosing]) -> list[list[float]]:
        states = [state for choice in choosing for state in (choice.state, *choice.actions)]
        if not states:
            return []
        vectors = network.features(torch.from_numpy(pack_states(states)).long())
        logits: list[list[float]] = []
        row = 0
        for choice in choosing:
            end = row + 1 + len(choice.actions)
            logits.append((vectors[row + 1 : end] @ vectors[row] * network.logit_scale).tolist())
            row = end
        return logits

    return logits_of


def exploring(logits_of: LogitsOf, share: float, seed: int) -> LogitsOf:
    """Makes the policy ``logits_of``, with a ``share`` of its choices made at random."""
    generator = random.Random(seed)  # noqa: S311 - not for secrets

    def explored(choosing: Sequence[Choosing]) -> list[list[float]]:
        return [
            [generator.random() for _ in own] if generator.random() < share else own
            for own in logits_of(choosing)
        ]

    return explored
