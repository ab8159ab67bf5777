"""Candidates that every policy proves, or fails to prove, because the first state leaves it no choice."""

from __future__ import annotations

import math

from proofrank.core.graph import Dataset
from proofrank.core.provability.joins import Limits, Relation, derive, empty_relation, union
from proofrank.core.provability.least_model import LeastModel, facts_by_predicate


def immediate_model(dataset: Dataset) -> LeastModel:
    """The atoms whose first state is a proof: the facts, and what a rule derives from facts without further variables.

    Where a state has a proof, the prover takes it; so every policy proves these in one step with log-probability 0.
    """
    size = dataset.vocabulary.num_constants
    facts = facts_by_predicate(dataset.fact_triples, size)
    unlimited = Limits(math.inf, size * size)
    relations: dict[int, Relation] = dict(facts)
    for rule in dataset.rules:
        own = {argument for argument in rule.head[1:] if argument < 0}
        if all(argument > 0 or argument in own for atom in rule.body for argument in atom[1:]):
            body = [facts.get(atom[0], empty_relation(size)) for atom in rule.body]
            before = relations.get(rule.head[0], empty_relation(size))
            relations[rule.head[0]] = union(before, derive(rule, body, unlimited))
    return LeastModel(relations)
