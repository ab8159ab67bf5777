"""Graphs, queries, settings and policies made by Hypothesis, and a comparison with the reference on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset
from proofrank.core.policy.config import ATOM_EMBEDDERS, STATE_POOLINGS
from proofrank.core.prover import Candidate, ProverSettings, sampled
from tests.helpers.buffers import use_least_capacities, use_static_shapes
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same
from tests.helpers.policies import make_policy
from tests.helpers.strategies import write_atom

NamedAtom = tuple[str, str, str]


CONSTANTS = ("a", "b", "c", "d", "e")


WITH_FACTS_AND_RULES = ("p", "q")


WITH_FACTS_ONLY = "f"


WITH_RULES_ONLY = "v"


PREDICATES = (*WITH_FACTS_AND_RULES, WITH_FACTS_ONLY, WITH_RULES_ONLY)


@dataclass(frozen=True)
class Case:
    """A random case: a graph, candidates, settings and a policy."""

    facts: tuple[NamedAtom, ...]
    rules: tuple[tuple[NamedAtom, tuple[NamedAtom, ...]], ...]
    queries: tuple[tuple[NamedAtom, bool], ...]
    settings: ProverSettings
    shape: dict[str, Any]
    seed: int
    pool_size: int

    def dataset(self, make_dataset: DatasetMaker) -> Dataset:
        """Loads the graph."""
        return make_dataset(
            [write_atom(*fact) + "." for fact in self.facts],
            [
                f"{', '.join(write_atom(*atom) for atom in body)} -> {write_atom(*head)}"
                for head, body in self.rules
            ],
        )

    def candidates(self, dataset: Dataset) -> list[Candidate]:
        """Returns the queries by their indices."""
        return [
            Candidate(dataset.triple(first, predicate, second), is_positive)
            for (predicate, first, second), is_positive in self.queries
        ]

    def options(self, num_lanes: int) -> EvaluatorOptions:
        """One bucket of ``num_lanes``, with the pool of the case where there are few."""
        pool_size = self.pool_size if num_lanes <= 12 else 256
        return EvaluatorOptions(buckets=(num_lanes,), pool_size=pool_size)


_constants = st.sampled_from(CONSTANTS)


# Mostly variables, because a rule with constants seldom matches; only a few, so that many are repeated.
_arguments = st.sampled_from(("X", "Y", "Z", "W") * 3 + ("a", "b"))


_facts = st.tuples(st.sampled_from(("p", "q", "f")), _constants, _constants)


_atoms = st.tuples(st.sampled_from(PREDICATES), _arguments, _arguments)


_head_arguments = st.one_of(st.sampled_from((("X", "Y"), ("Y", "X"))), st.tuples(_arguments, _arguments))


_heads = st.tuples(st.sampled_from(("p", "q", "v")), _head_arguments).map(lambda head: (head[0], *head[1]))


_rules = st.tuples(_heads, st.lists(_atoms, min_size=1, max_size=4).map(tuple))


# Half of them certainly have a rule.
_queries = st.tuples(
    st.tuples(st.sampled_from((*PREDICATES, "v", "v", "v", "p")), _constants, _constants), st.booleans()
)


# Every name occurs, and every predicate is what its name says; there is a cycle of facts and a loop.
_anchor_facts = (("p", "a", "b"), ("q", "b", "c"), ("f", "c", "d"), ("f", "d", "c"), ("q", "e", "e"))


_anchor_rules = ((("v", "X", "Y"), (("p", "X", "Z"), ("q", "Z", "Y"))),)


_settings = st.builds(
    ProverSettings,
    padding_atoms=st.sampled_from((5, 4, 3, 2, 1)),
    padding_states=st.sampled_from((2, 3, 2, 3, 4, 5, 6, 7, 8)),
    max_depth=st.sampled_from((7, 6, 5, 4, 3, 2, 1)),
    memory_pruning=st.booleans(),
    end_proof_action=st.booleans(),
    skip_unary_actions=st.booleans(),
)


_shapes = st.fixed_dictionaries(
    {
        "atom_embedder": st.sampled_from(ATOM_EMBEDDERS),
        "state_pooling": st.sampled_from(STATE_POOLINGS),
        "l2_norm": st.booleans(),
        "padding_atoms": st.integers(1, 6),
    }
)


cases = st.builds(
    lambda facts, rules, rule_place, queries, positives, settings, shape, seed, pool_size: Case(
        facts=tuple(dict.fromkeys((*_anchor_facts, *facts))),
        rules=(*rules[:rule_place], *_anchor_rules, *rules[rule_place:]),
        queries=(*queries, *((fact, True) for fact in facts[:positives])),
        settings=settings,
        shape=shape,
        seed=seed,
        pool_size=pool_size,
    ),
    facts=st.lists(_facts, min_size=10, max_size=50).map(tuple),
    rules=st.lists(_rules, min_size=3, max_size=8).map(tuple),
    rule_place=st.integers(0, 6),
    queries=st.lists(_queries, min_size=5, max_size=9).map(tuple),
    positives=st.integers(0, 3),
    settings=_settings,
    shape=_shapes,
    seed=st.integers(0, 2**16),
    pool_size=st.integers(2, 12),
)


sizes = st.sampled_from((3, 48, 48, 48))
"""Numbers of lanes for tests of ranks: few, so that candidates wait for each other, and many, which is much quicker."""


def collected_cases(number: int) -> list[Case]:
    """Returns so many cases, the same at each call: for tests that count over all of them."""
    found: list[Case] = []

    @settings(
        max_examples=number,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(case=cases)
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


many, some = (
    settings(
        max_examples=number,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    for number in (120, 60)
)


def check(
    case: Case,
    make_dataset: DatasetMaker,
    *,
    is_trimming: bool,
    is_least: bool,
    is_counting: bool = False,
    sample: bool = False,
) -> None:
    """Evaluates ``case`` both ways and compares, freely or along actions that the reference has sampled."""
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    candidates = case.candidates(dataset)
    reference = ReferenceEvaluator(dataset, policy, case.settings)
    if sample:
        expected = [
            reference.prove(candidate, choose=sampled(case.seed, index))
            for index, candidate in enumerate(candidates)
        ]
    else:
        expected = reference.evaluate(candidates)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if not is_trimming:
            use_static_shapes(monkeypatch, is_counting=is_counting)
        if is_least:
            use_least_capacities(monkeypatch)
        evaluator = CompiledEvaluator(
            dataset,
            policy,
            case.settings,
            EvaluatorOptions(buckets=(3,), pool_size=case.pool_size),
            compile_mode="eager",
        )
        actions = [outcome.actions for outcome in expected] if sample else None

        outcomes = evaluator.evaluate(candidates, recorded_actions=actions)

    assert evaluator.mode.is_trimming is is_trimming
    assert_same(outcomes, expected)
