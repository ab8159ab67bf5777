"""The graph as tensors: facts in the orders that goals ask for, rules by predicate, and membership.

A goal's matching facts are one contiguous range of ``matches``, found by two binary searches, so that counting them
costs the same however many there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from proofrank.core.graph import Dataset, Rule
from proofrank.core.prover.atom_bits import AtomBits
from proofrank.core.prover.fact_set import FactSet
from proofrank.core.prover.packing import ARGUMENT_BITS, ARGUMENT_MASK, FIRST_SHIFT, PREDICATE_SHIFT

BY_FIRST, BY_SECOND, BY_LOOP = 0, 1, 2
"""Orders of ``matches``: by (predicate, first), by (predicate, second), and of the facts with equal arguments."""

ORDER_SHIFT = 61

FROM_FIRST, FROM_SECOND, FRESH = -1, -2, -3
"""Codes of a rule's body arguments: the goal's first or second argument; ``FRESH - j`` is fresh variable j.
Codes above 0 are constants."""


@dataclass(frozen=True)
class GraphTables:
    """One graph on one device. ``G`` is the number of rules, ``L`` the longest body, ``P`` the predicates.

    Attributes:
        num_constants: C; larger arguments are variables.
        matches: ``[F + F + loops]`` int64 packed facts, in the three orders one after the other.
        search_keys: of the same length, ascending: the order, then the key by which facts of that order are looked up.
        facts: membership of facts.
        rule_offset: ``[P + 4]`` int64, first rule of each predicate.
        num_rules: ``[P + 4]`` int64, rules of each predicate; none of terminal ones.
        rule_head: ``[G, 2]`` int64, constants above 0, variables below.
        rule_body: ``[G, L, 3]`` int64: predicate (0 for no atom) and argument codes.
        num_fresh: ``[G]`` int64, fresh variables of each rule.
        max_rules: the most rules of one predicate.
        max_fresh: the most fresh variables of one rule.
        device: device of all tensors.
        provable: the atoms that may have a proof, which a tick looks up; None if it does not.
    """

    num_constants: int
    matches: Tensor
    search_keys: Tensor
    facts: FactSet
    rule_offset: Tensor
    num_rules: Tensor
    rule_head: Tensor
    rule_body: Tensor
    num_fresh: Tensor
    max_rules: int
    max_fresh: int
    device: torch.device
    provable: AtomBits | None = None

    def tensors(self) -> list[Tensor]:
        """Returns every tensor on the device."""
        columns = [*(getattr(self, name) for name in _COLUMNS), self.facts.table]
        return columns if self.provable is None else [*columns, self.provable.table]

    def on(self, given: Iterator[Tensor]) -> GraphTables:
        """Returns the same graph on the next tensors of ``given``, as :meth:`tensors` lists them."""
        columns = {name: next(given) for name in _COLUMNS}
        facts = FactSet(next(given))
        provable = None if self.provable is None else AtomBits(next(given))
        return dataclasses.replace(self, **columns, facts=facts, provable=provable)

    @property
    def longest_body(self) -> int:
        """L."""
        return self.rule_body.shape[1]

    @cached_property
    def mean_choices(self) -> float:
        """Mean number of rules and facts for a goal from a rule's body with its first argument bound."""
        num_predicates = self.num_rules.shape[0]
        facts = self.matches[(self.search_keys >> PREDICATE_SHIFT) < num_predicates]
        num_facts = torch.bincount(facts >> PREDICATE_SHIFT, minlength=num_predicates)
        pairs = torch.unique(facts >> FIRST_SHIFT)
        num_firsts = torch.bincount(pairs >> (PREDICATE_SHIFT - FIRST_SHIFT), minlength=num_predicates)
        goals = self.rule_body[:, :, 0].flatten()
        goals = goals[goals > 0]
        facts_per_goal = num_facts[goals] / num_firsts[goals].clamp(min=1)
        return float((self.num_rules[goals] + facts_per_goal).double().mean())


_COLUMNS = tuple(field.name for field in dataclasses.fields(GraphTables) if field.type in ("Tensor", Tensor))


def build_tables(dataset: Dataset, device: torch.device) -> GraphTables:
    """Builds the tables of ``dataset``, whose size must have been checked by ``check_packable``."""
    triples = np.asarray(dataset.fact_triples, dtype=np.int64).reshape(-1, 3)
    # Packed integers sort like (predicate, first, second).
    facts = np.unique(triples[:, 0] << PREDICATE_SHIFT | triples[:, 1] << FIRST_SHIFT | triples[:, 2])
    predicate = facts >> PREDICATE_SHIFT
    first, second = facts >> FIRST_SHIFT & ARGUMENT_MASK, facts & ARGUMENT_MASK
    swapped = predicate << PREDICATE_SHIFT | second << FIRST_SHIFT | first
    by_second = np.argsort(swapped, kind="stable")
    loops = facts[first == second]
    order = [np.int64(number) << ORDER_SHIFT for number in (BY_FIRST, BY_SECOND, BY_LOOP)]
    matches = np.concatenate([facts, facts[by_second], loops])
    search_keys = np.concatenate([facts | order[0], swapped[by_second] | order[1], loops | order[2]])

    num_predicates = dataset.vocabulary.endf_index + 1
    rules = [rule for index in range(num_predicates) for rule in dataset.rules_by_predicate.get(index, ())]
    num_rules = np.zeros(num_predicates, dtype=np.int64)
    for rule in rules:
        num_rules[rule.head[0]] += 1
    longest = max(len(rule.body) for rule in rules)
    return GraphTables(
        num_constants=dataset.vocabulary.num_constants,
        matches=torch.from_numpy(matches).to(device),
        search_keys=torch.from_numpy(search_keys).to(device),
        facts=FactSet.of(facts, device),
        rule_offset=torch.from_numpy(np.cumsum(num_rules) - num_rules).to(device),
        num_rules=torch.from_numpy(num_rules).to(device),
        rule_head=torch.tensor([rule.head[1:] for rule in rules], dtype=torch.int64, device=device),
        rule_body=torch.tensor([_body(rule, longest) for rule in rules], dtype=torch.int64, device=device),
        num_fresh=torch.tensor(
            [rule.num_fresh_variables for rule in rules], dtype=torch.int64, device=device
        ),
        max_rules=int(num_rules.max()),
        max_fresh=max(rule.num_fresh_variables for rule in rules),
        device=device,
    )


def _body(rule: Rule, longest: int) -> list[tuple[int, int, int]]:
    """Returns the body with its arguments as codes, padded to ``longest`` atoms."""
    head_variables = {value for value in rule.head[1:] if value < 0}

    def code(argument: int) -> int:
        if argument > 0:
            return argument
        if argument == rule.head[1]:
            return FROM_FIRST
        if argument == rule.head[2]:
            return FROM_SECOND
        return FRESH - (-1 - argument - len(head_variables))

    body = [(predicate, code(first), code(second)) for predicate, first, second in rule.body]
    return body + [(0, 0, 0)] * (longest - len(body))


def lower_bound_keys(order: Tensor, predicate: Tensor, argument: Tensor) -> Tensor:
    """Returns the smallest search key of a range, ``[...]`` int64; an argument of 0 means the whole predicate."""
    return (order << ORDER_SHIFT) | (predicate << PREDICATE_SHIFT) | (argument << FIRST_SHIFT)


def upper_bound_keys(order: Tensor, predicate: Tensor, argument: Tensor) -> Tensor:
    """Returns the largest search key of a range, ``[...]`` int64; an argument of 0 means the whole predicate."""
    whole = (ARGUMENT_MASK << ARGUMENT_BITS) | ARGUMENT_MASK
    rest = ((argument == 0) * whole) | (argument << FIRST_SHIFT) | ARGUMENT_MASK
    return (order << ORDER_SHIFT) | (predicate << PREDICATE_SHIFT) | rest
