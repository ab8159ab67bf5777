"""Unification of a goal with a rule's head or a fact, in plain Python over tuples and dicts.

Arguments are integers: below 0 a rule's variable, from 1 to C a constant, above C a run-time variable.
"""

from __future__ import annotations

from proofrank.core.prover.outcome import Atom, State

Substitution = dict[int, int]


def resolve(argument: int, substitution: Substitution) -> int:
    """Returns the value of ``argument`` under ``substitution``, followed to its end."""
    while argument in substitution:
        argument = substitution[argument]
    return argument


def unify(head: Atom, goal: Atom, num_constants: int) -> Substitution | None:
    """Returns the most general substitution under which ``head`` and ``goal`` are equal; None if there is none.

    A rule's variable takes the goal's argument. Of two run-time variables, the later one takes the place of the
    earlier; this happens only if a rule's head repeats a variable.
    """
    if head[0] != goal[0]:
        return None
    substitution: Substitution = {}
    for head_argument, goal_argument in zip(head[1:], goal[1:], strict=True):
        left = resolve(head_argument, substitution)
        right = resolve(goal_argument, substitution)
        if left == right:
            continue
        if left < 0:
            substitution[left] = right
        elif right > num_constants:
            substitution[right] = left
        elif left > num_constants:
            substitution[left] = right
        else:
            return None
    return substitution


def substitute(atoms: State, substitution: Substitution) -> State:
    """Returns ``atoms`` under ``substitution``."""
    if not substitution:
        return atoms
    return tuple(
        (predicate, resolve(first, substitution), resolve(second, substitution))
        for predicate, first, second in atoms
    )
