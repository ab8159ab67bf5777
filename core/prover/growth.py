"""Bounds on a proof state: its number of atoms, and the run-time variables that a step adds.

The bounds hold for every candidate, policy and set of facts. They follow from the rules and the settings alone, so that
what might not fit is refused when it is loaded.

With ``skip_unary_actions`` one step may hide many resolutions, each of a goal with a single resolvent. A goal is never
among them if two rules of its predicate are certain to give resolvents: such rules unify with every goal (their heads'
arguments are different variables), their resolvents were never visited (they contain a fresh variable), and are never
too large (no state is).
"""

from __future__ import annotations

from collections.abc import Iterable

from proofrank.core.graph import Dataset, Rule
from proofrank.core.prover.settings import ProverSettings


def most_variables(dataset: Dataset, settings: ProverSettings, resolutions_per_step: int) -> int:
    """Returns the maximum number of run-time variables of a trajectory.

    Args:
        dataset: dataset of the rules, which add variables.
        settings: settings that bound the steps.
        resolutions_per_step: resolutions of a step, including those skipped before it.
    """
    per_step, per_skip = new_variables(dataset, settings)
    return settings.max_depth * (per_step + (resolutions_per_step - 1) * per_skip)


def new_variables(dataset: Dataset, settings: ProverSettings) -> tuple[int, int]:
    """Returns the maximum number of variables that a step's own resolution adds, and that a skipped one adds."""
    has_room = most_atoms(dataset.rules, settings.padding_atoms) <= settings.padding_atoms

    def is_sure(rule: Rule) -> bool:
        """Returns whether the rule gives an action for every goal of its predicate."""
        _, first, second = rule.head
        unifies = first < 0 and second < 0 and first != second
        is_new = rule.num_fresh_variables > 0 or not settings.memory_pruning
        return unifies and is_new and has_room

    of_predicate = {
        predicate: max(rule.num_fresh_variables for rule in rules)
        for predicate, rules in dataset.rules_by_predicate.items()
    }
    of_skipped = [
        of_predicate[predicate]
        for predicate, rules in dataset.rules_by_predicate.items()
        # Rules beyond the maximum number of actions may be cut.
        if sum(map(is_sure, rules[: settings.padding_states])) < 2
    ]
    return max(of_predicate.values(), default=0), max(of_skipped, default=0)


def most_atoms(rules: Iterable[Rule], limit: int) -> int:
    """Returns the maximum number of atoms of a state, or ``limit + 1`` if it exceeds ``limit``.

    A body replaces its goal: its first atom is resolved while all others remain, and so on to the last. The number of
    atoms that a predicate's goal can grow to is the smallest solution of this for all rules.
    """
    rules = tuple(rules)
    size = {atom[0]: 1 for rule in rules for atom in (rule.head, *rule.body)}
    is_growing = True
    while is_growing:
        is_growing = False
        for rule in rules:
            length = len(rule.body)
            grown = max(
                length - 1 - place + size[predicate] for place, (predicate, _, _) in enumerate(rule.body)
            )
            grown = min(max(grown, length), limit + 1)
            if grown > size[rule.head[0]]:
                size[rule.head[0]] = grown
                is_growing = True
    return max(size.values(), default=1)


def most_places(dataset: Dataset, settings: ProverSettings) -> int:
    """Returns the maximum number of atoms of a state that a policy may be given.

    With ``skip_unary_actions``, a state that was skipped may be larger than ``padding_atoms``.
    """
    longest_body = max((len(rule.body) for rule in dataset.rules), default=1)
    return settings.padding_atoms + (longest_body - 1 if settings.skip_unary_actions else 0)
