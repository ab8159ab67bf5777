"""Finds the first state in which two engines part: the only place where a wrong MRR can be found.

Both engines prove the same candidates. For one whose outcomes differ, the reference walks along the actions of each,
and the first step at which the two trajectories differ is shown: state, actions, logits, and what each chose.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from proofrank.core.evaluator.base import Evaluator
from proofrank.core.evaluator.reference import ReferenceEvaluator
from proofrank.core.evaluator.replay import atom_text, log_probability_tolerance, state_names
from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate, Outcome, ProofStep, State, recorded


@dataclass(frozen=True)
class Difference:
    """A candidate with different outcomes, and the two."""

    candidate: Candidate
    first: Outcome
    second: Outcome


def differences(first: Evaluator, second: Evaluator, candidates: Sequence[Candidate]) -> list[Difference]:
    """The candidates whose success, steps, actions or log-probability differ between the engines.

    Raises:
        EvaluationError: an engine cannot evaluate a candidate.
    """
    return differing(candidates, first.evaluate(candidates), second.evaluate(candidates))


def differing(
    candidates: Sequence[Candidate], first: Sequence[Outcome], second: Sequence[Outcome]
) -> list[Difference]:
    """The candidates of which the outcomes in ``first`` and ``second`` differ."""
    outcomes = zip(candidates, first, second, strict=True)
    return [Difference(*triple) for triple in outcomes if not _is_same(triple[1], triple[2])]


def _is_same(first: Outcome, second: Outcome) -> bool:
    tolerance = max(log_probability_tolerance(first), log_probability_tolerance(second))
    return (first.success, first.steps, first.actions) == (
        second.success,
        second.steps,
        second.actions,
    ) and abs(first.log_probability - second.log_probability) <= tolerance


def describe(
    difference: Difference, names: tuple[str, str], reference: ReferenceEvaluator, dataset: Dataset
) -> str:
    """Where the two trajectories part, for people to read.

    Args:
        difference: of one candidate.
        names: of the two engines.
        reference: walks along their actions.
        dataset: the graph.

    Raises:
        EvaluationError: the actions that both engines took are no trajectory of the candidate.
    """
    head, relation, tail = dataset.names(difference.candidate.triple)
    kind = "positive" if difference.candidate.is_positive else "corruption"
    lines = [f"candidate {relation}({head}, {tail}), {kind}"]
    for name, outcome in zip(names, (difference.first, difference.second), strict=True):
        lines.append(
            f"  {name}: success {outcome.success}, {outcome.steps} steps, "
            f"log-probability {outcome.log_probability:.6f}, actions {list(outcome.actions)}"
        )
    number = _first_different(difference.first.actions, difference.second.actions)
    if number is None:
        lines.append("  the actions are the same; only success or log-probability differ")
        return "\n".join(lines)
    # Along what both took; from there on any action will do, for an engine's own may not exist.
    shared = difference.first.actions[:number]
    choose = recorded(itertools.chain(shared, itertools.repeat(0)))
    steps = reference.prove(difference.candidate, choose=choose, with_trace=True).trace or ()
    chosen = {
        name: outcome.actions[number] if number < len(outcome.actions) else None
        for name, outcome in zip(names, (difference.first, difference.second), strict=True)
    }
    if number >= len(steps):
        lines.append(f"first divergence at step {number}: by the reference the trajectory has ended")
        lines.extend(
            f"  {name} took action {action}" for name, action in chosen.items() if action is not None
        )
    else:
        step = steps[number]
        lines.append(
            f"first divergence at step {number}, state {_text(step.state, dataset)}, by the reference:"
        )
        lines.extend(_action_lines(step, chosen, dataset))
        lines.extend(
            f"  {name} chose {action} of only {len(step.actions)} actions"
            for name, action in chosen.items()
            if action is not None and not 0 <= action < len(step.actions)
        )
    lines.extend(f"  {name} had ended before" for name, action in chosen.items() if action is None)
    return "\n".join(lines)


def _first_different(first: tuple[int, ...], second: tuple[int, ...]) -> int | None:
    """The first place at which the two differ, or None."""
    for number in range(max(len(first), len(second))):
        if first[number : number + 1] != second[number : number + 1]:
            return number
    return None


def _action_lines(step: ProofStep, chosen: dict[str, int | None], dataset: Dataset) -> list[str]:
    lines = []
    for index, (action, logit) in enumerate(zip(step.actions, step.logits, strict=True)):
        by = [name for name, number in chosen.items() if number == index]
        mark = f"  <- {' and '.join(by)}" if by else ""
        lines.append(f"  {index:3d}  logit {logit:12.6f}  {_text(action, dataset)}{mark}")
    return lines


def _text(state: State, dataset: Dataset) -> str:
    return f"[{', '.join(atom_text(atom) for atom in state_names(state, dataset))}]"
