"""Turns a trajectory into a proof tree that a person can read.

The tree is made by walking the outcome's recorded actions once more with the reference prover. So any engine's outcome
can be explained, and an evaluation without explanations pays nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from proofrank.core.graph import Dataset, Rule
from proofrank.core.prover import Atom, Candidate, Outcome, ProofStep, ReferenceProver, Resolvent, recorded
from proofrank.core.prover.reference import Scorer
from proofrank.core.prover.unification import Substitution, resolve


@dataclass
class ProofNode:
    """A goal and how it was resolved.

    Attributes:
        atom: the goal, as it stood when it became one.
        how: ``rule NAME``, with the rule's weight where that is not 1; ``fact``; ``known fact`` (true at once, no step
            needed); or ``open`` (never proved).
        probability: of the action that resolved it; None where no step was taken for it.
        children: the goals that the rule put in its place.
    """

    atom: Atom
    how: str = "open"
    probability: float | None = None
    children: list[ProofNode] = field(default_factory=list)


@dataclass(frozen=True)
class Explanation:
    """A candidate's trajectory as a tree.

    Attributes:
        root: the candidate.
        bindings: what the run-time variables of the tree stand for.
        trace: the steps.
        outcome: of the trajectory.
        rules: for each step the rule that its action resolved a goal with; None for a fact or an end.
        is_positive: whether the candidate is the positive of its query, and so no fact in its own proof.
    """

    root: ProofNode
    bindings: Substitution
    trace: tuple[ProofStep, ...]
    outcome: Outcome
    rules: tuple[Rule | None, ...]
    is_positive: bool


def explain(
    prover: ReferenceProver, scorer: Scorer, candidate: Candidate, actions: Sequence[int]
) -> Explanation:
    """The tree of the trajectory that takes ``actions``.

    Args:
        prover: on the candidate's graph, under the settings of the outcome.
        scorer: the policy, for the probabilities.
        candidate: what was to be proved.
        actions: index of the action at each step, from the outcome of any engine.

    Raises:
        EvaluationError: ``actions`` is no trajectory of the candidate.
    """
    outcome = prover.prove(candidate, scorer, choose=recorded(actions), with_trace=True)
    trace = outcome.trace or ()
    excluded: Atom | None = candidate.triple if candidate.is_positive else None
    root = ProofNode(candidate.triple)
    goals = [root]
    bindings: Substitution = {}
    rules: list[Rule | None] = []
    for step in trace:
        probability: float | None = math.exp(step.log_probability)
        rule = None
        for resolvent in _path(prover, step, excluded):
            goals = _resolve(goals, resolvent, probability, bindings)
            probability = None  # a skipped single action is no step of the policy
            rule = resolvent.source if isinstance(resolvent.source, Rule) else None
        rules.append(rule)
    return Explanation(root, bindings, trace, outcome, tuple(rules), candidate.is_positive)


def _path(prover: ReferenceProver, step: ProofStep, excluded: Atom | None) -> list[Resolvent]:
    """The resolvents from the step's state to the chosen one: more than one where single ones were skipped,
    none where the policy gave up or nothing could be resolved."""
    chosen = step.actions[step.chosen]
    if chosen in (prover.false_state, prover.endf_state):
        return []
    path: list[Resolvent] = []
    state, next_variable = step.state, step.next_variable
    for wanted in (*step.skipped, () if chosen == prover.true_state else chosen):
        resolvents = prover.resolve_first_goal(state, next_variable, excluded)
        path.append(next(resolvent for resolvent in resolvents if resolvent.state == wanted))
        _, next_variable = prover.resolvents(state, next_variable, excluded)
        state = wanted
    return path


def _resolve(
    goals: list[ProofNode],
    resolvent: Resolvent,
    probability: float | None,
    bindings: Substitution,
) -> list[ProofNode]:
    """Writes into the first goal how it was resolved; returns the goals that are then open."""
    goal, remaining = goals[0], goals[1:]
    goal.probability = probability
    bindings.update({old: new for old, new in resolvent.substitution.items() if old >= 0})
    if isinstance(resolvent.source, Rule):
        goal.how = resolvent.source.describe()
        goal.children = [ProofNode(atom) for atom in resolvent.body]
    else:
        goal.how = "fact"
    # The atoms that the resolvent's state lacks are the known facts; order is kept, so walk along both.
    still_open: list[ProofNode] = []
    expected = list(resolvent.state)
    for node in (*goal.children, *remaining):
        if expected and _bound(node.atom, bindings) == expected[0]:
            still_open.append(node)
            expected.pop(0)
        else:
            node.how = "known fact"
    return still_open


def _bound(atom: Atom, bindings: Substitution) -> Atom:
    return (atom[0], resolve(atom[1], bindings), resolve(atom[2], bindings))


def render_proof(explanation: Explanation, dataset: Dataset) -> str:
    """The tree as text, a goal a line, with the facts and rules used and the policy's probabilities."""
    lines: list[str] = []

    def name(atom: Atom) -> str:
        predicate, first, second = _bound(atom, explanation.bindings)
        vocabulary = dataset.vocabulary
        arguments = f"{vocabulary.argument_name(first)}, {vocabulary.argument_name(second)}"
        return f"{vocabulary.predicate_name(predicate)}({arguments})"

    def add(node: ProofNode, before: str, before_children: str) -> None:
        probability = f"  p={node.probability:.3f}" if node.probability is not None else ""
        lines.append(f"{before}{name(node.atom)}  [{node.how}]{probability}")
        for index, child in enumerate(node.children):
            is_last = index == len(node.children) - 1
            branch, continued = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
            add(child, before_children + branch, before_children + continued)

    add(explanation.root, "", "")
    outcome = explanation.outcome
    verdict = "proved" if outcome.success else _failure(explanation, dataset)
    lines.append(
        f"{verdict}: {outcome.steps} steps, log-probability {outcome.log_probability:.4f}, "
        f"score {outcome.score:.4f}"
    )
    return "\n".join(lines)


def _failure(explanation: Explanation, dataset: Dataset) -> str:
    last = explanation.trace[-1]
    predicate = last.actions[last.chosen][0][0]
    if predicate == dataset.vocabulary.endf_index:
        return "not proved, the policy gave up"
    if predicate == dataset.vocabulary.false_index:
        return "not proved, nothing left to try"
    return "not proved, the depth is used up"
