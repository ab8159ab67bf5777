"""The actions that the policy could have taken at each step of a trajectory, with their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.explanation import Explanation
from proofrank.core.evaluator.replay import atom_text, state_names
from proofrank.core.graph import Dataset, Rule
from proofrank.core.prover import Atom, ProofStep, ReferenceProver, State
from proofrank.core.prover.choice import log_softmax

GIVES_UP, NOTHING_LEFT = "gives up", "nothing left to try"
"""Words for the two actions that resolve no goal."""


@dataclass(frozen=True)
class ActionChoice:
    """An action that the policy could take at a step.

    Attributes:
        state: the goals after it, or a terminal state.
        how: what it resolves the first goal with, ``rule NAME`` or ``fact``; else ``gives up`` or ``nothing left to
            try``. Where single actions were skipped, the goal is the first one of the state that they lead to.
        log_probability: its log-probability under the policy.
        is_chosen: whether the trajectory takes it.
    """

    state: State
    how: str
    log_probability: float
    is_chosen: bool

    @property
    def probability(self) -> float:
        """Its probability under the policy; those of all actions of a step add up to 1."""
        return math.exp(self.log_probability)


@dataclass(frozen=True)
class StepChoices:
    """One step of a trajectory: the goals, and the actions to choose from.

    Attributes:
        state: the goals before the step, the first of which is resolved.
        shown: the most probable actions, the chosen one always among them, by falling probability.
        num_left_out: how many actions are not shown.
        probability_left_out: the sum of their probabilities.
        log_probability: of the chosen action; what the step adds to the log-probability of the trajectory.
    """

    state: State
    shown: tuple[ActionChoice, ...]
    num_left_out: int
    probability_left_out: float
    log_probability: float


def choices_of(
    prover: ReferenceProver, explanation: Explanation, most: int | None
) -> tuple[StepChoices, ...]:
    """The alternatives at each step of a trajectory, in order.

    Args:
        prover: that the explanation was made with.
        explanation: has the steps with their logits.
        most: how many actions of a step are shown at most; None for all.

    Raises:
        EvaluationError: ``most`` is below 1.
    """
    check_most(most)
    excluded = explanation.root.atom if explanation.is_positive else None
    return tuple(_choices(prover, step, excluded, most) for step in explanation.trace)


def check_most(most: int | None) -> None:
    """Raises EvaluationError for a number of alternatives below 1; the action that was taken is one of them."""
    if most is not None and most < 1:
        raise EvaluationError(f"alternatives is {most}; expected at least 1, for the action that was taken")


def _choices(
    prover: ReferenceProver, step: ProofStep, excluded: Atom | None, most: int | None
) -> StepChoices:
    actions = [
        ActionChoice(state, how, log_probability, is_chosen=index == step.chosen)
        for index, (state, how, log_probability) in enumerate(
            zip(step.actions, _how(prover, step, excluded), log_softmax(step.logits), strict=True)
        )
    ]
    # The chosen one goes first so that it is never cut off; it need not be the most probable of a recorded trajectory.
    by_need = sorted(actions, key=lambda action: (not action.is_chosen, -action.log_probability))
    shown, left_out = by_need[:most], by_need[len(by_need) if most is None else most :]
    return StepChoices(
        state=step.state,
        shown=tuple(sorted(shown, key=lambda action: -action.log_probability)),
        num_left_out=len(left_out),
        probability_left_out=math.fsum(action.probability for action in left_out),
        log_probability=step.log_probability,
    )


def _how(prover: ReferenceProver, step: ProofStep, excluded: Atom | None) -> list[str]:
    """Describes in words what each action of ``step`` resolves the first goal with.

    Actions are some of the resolvents, in their order; two rules may lead to the same state, so both lists are walked
    along, and each resolvent serves one action.
    """
    state, next_variable = step.state, step.next_variable
    for skipped in step.skipped:
        _, next_variable = prover.resolvents(state, next_variable, excluded)
        state = skipped
    resolvents = prover.resolve_first_goal(state, next_variable, excluded)
    words: list[str] = []
    for action in step.actions:
        if action == prover.endf_state:
            words.append(GIVES_UP)
        elif action == prover.false_state:
            words.append(NOTHING_LEFT)
        else:
            wanted = () if action == prover.true_state else action
            source = next(resolvent.source for resolvent in resolvents if resolvent.state == wanted)
            words.append(source.describe() if isinstance(source, Rule) else "fact")
    return words


def goal_texts(state: State, dataset: Dataset) -> tuple[str, ...]:
    """The goals of ``state`` by their names; ``True``, ``False`` or ``Endf`` alone for a terminal state."""
    return tuple(atom_text(atom) for atom in state_names(state, dataset))


def render_choices(steps: Sequence[StepChoices], dataset: Dataset) -> str:
    """The steps as text: the goals of each, and a line for each action that is shown, the chosen one marked by ``>``.

    ``...`` stands for those other goals of the step that an action leaves as they are.
    """
    lines: list[str] = []
    for number, step in enumerate(steps, start=1):
        lines.append(f"step {number}: {', '.join(goal_texts(step.state, dataset))}")
        for action in step.shown:
            mark = ">" if action.is_chosen else " "
            after = "" if action.how in (GIVES_UP, NOTHING_LEFT) else f"  {_after(step, action, dataset)}"
            lines.append(f"  {mark} p={action.probability:.3f}  [{action.how}]{after}")
        if step.num_left_out:
            noun = "action" if step.num_left_out == 1 else "actions"
            lines.append(f"    p={step.probability_left_out:.3f}  {step.num_left_out} more {noun}")
    return "\n".join(lines)


def _after(step: StepChoices, action: ActionChoice, dataset: Dataset) -> str:
    if goal_texts(action.state, dataset) == ("True",):
        return "proved"
    remaining = step.state[1:]
    num_new = len(action.state) - len(remaining)
    if not remaining or num_new < 0 or action.state[num_new:] != remaining:
        return ", ".join(goal_texts(action.state, dataset))
    return ", ".join((*goal_texts(action.state[:num_new], dataset), "..."))
