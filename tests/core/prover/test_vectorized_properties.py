"""The vectorised evaluator without a compiler gives the reference's outcomes for any graph, settings and policy.

Hypothesis makes graphs, rules, settings and policies. Both kinds of buffers are tested: those that follow the true
counts and those of fixed shape, each with usual sizes and with the smallest that suffice for one lane.

No compiler is used here, because each graph has its own shapes, which take the compiler half a minute. Compiled ticks
are compared with the reference and with recordings on whole data sets (``test_parity_datasets``,
``test_vectorized_parity``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.evaluator import ReferenceEvaluator, compiled
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.modes import Mode
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.tick import HalvedTick, WholeTick
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, PolicyConfig, build_network
from proofrank.core.policy.config import ATOM_EMBEDDERS, STATE_POOLINGS
from proofrank.core.policy.features import ROW_MULTIPLE
from proofrank.core.prover import Candidate, Outcome, ProverSettings, sampled
from proofrank.core.prover.observation import Capacities
from proofrank.core.prover.tables import GraphTables
from tests.conftest import DatasetMaker
from tests.helpers.strategies import write_atom

NamedAtom = tuple[str, str, str]

CONSTANTS = ("a", "b", "c", "d", "e")
WITH_FACTS_AND_RULES = ("p", "q")
WITH_FACTS_ONLY = "f"
WITH_RULES_ONLY = "v"
PREDICATES = (*WITH_FACTS_AND_RULES, WITH_FACTS_ONLY, WITH_RULES_ONLY)


def make_policy(
    dataset: Dataset, seed: int = 0, *, spread: float = 1.0, max_variables: int = 2000, **shape: Any
) -> Policy:
    """Makes a small policy with random weights; ``spread`` is the size of its embeddings."""
    config = PolicyConfig.from_dict(
        {"embedding_dim": 8, "hidden_dim": 16, "num_layers": 1, "max_variables": max_variables, **shape}
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(config, dataset.vocabulary)
        with torch.no_grad():
            for table in (network.embedding.predicates, network.embedding.arguments):
                table[1:] = torch.randn_like(table[1:]) * spread
    return Policy(f"random{seed}", network, dataset.vocabulary, None, content_hash=f"random{seed}")


def least_capacities(
    num_lanes: int, tables: GraphTables, settings: ProverSettings, *_: object, **options: object
) -> Capacities:
    """Returns the smallest buffers that hold one lane's requests."""
    return Capacities(
        num_lanes=num_lanes,
        num_rows=tables.max_rules + settings.padding_states + 1,
        num_checks=2,
        # The network computes whole blocks of 64 rows where it follows the true count.
        num_states=ROW_MULTIPLE * 2 if options.get("is_counting") else settings.padding_states + 1,
    )


def use_static_shapes(monkeypatch: pytest.MonkeyPatch, *, is_counting: bool = False) -> None:
    """Makes ``eager`` run on buffers of fixed shape, like the compiled modes; in halves, like ``default`` on a CPU."""
    mode = Mode.of("eager", fullgraph=True, device=torch.device("cpu"))
    static = dataclasses.replace(mode, tick=HalvedTick if is_counting else WholeTick)
    monkeypatch.setattr(Mode, "of", lambda *_, **__: static)


def use_least_capacities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes buckets as small as possible, so that lanes must wait for each other."""
    monkeypatch.setattr(compiled, "choose_capacities", least_capacities)


def assert_same(outcomes: Sequence[Outcome], expected: Sequence[Outcome]) -> None:
    """Asserts that outcomes are equal, and log-probabilities up to rounding."""
    assert len(outcomes) == len(expected)
    for index, (one, other) in enumerate(zip(outcomes, expected, strict=True)):
        assert (index, one.success, one.steps, one.actions, one.passes_near_tie) == (
            index, other.success, other.steps, other.actions, other.passes_near_tie,
        )  # fmt: skip
        tolerance = 1e-4 + 1e-6 * other.largest_logit
        assert one.log_probability == pytest.approx(other.log_probability, rel=0, abs=tolerance), index
        assert one.largest_logit == pytest.approx(other.largest_logit, rel=1e-4, abs=1e-4), index


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


@many
@given(case=cases)
def test_trimmed_buffers_give_the_outcomes_of_the_reference(case: Case, make_dataset: DatasetMaker) -> None:
    check(case, make_dataset, is_trimming=True, is_least=False)


@many
@given(case=cases)
def test_lanes_that_wait_for_each_other_give_the_outcomes_of_the_reference(
    case: Case, make_dataset: DatasetMaker
) -> None:
    check(case, make_dataset, is_trimming=True, is_least=True)


@many
@given(case=cases)
def test_trimmed_buffers_follow_sampled_actions_as_the_reference_does(
    case: Case, make_dataset: DatasetMaker
) -> None:
    check(case, make_dataset, is_trimming=True, is_least=False, sample=True)


@some
@given(case=cases)
def test_static_buffers_give_the_outcomes_of_the_reference(case: Case, make_dataset: DatasetMaker) -> None:
    check(case, make_dataset, is_trimming=False, is_least=False)


@some
@given(case=cases)
def test_the_least_static_buffers_give_the_outcomes_of_the_reference(
    case: Case, make_dataset: DatasetMaker
) -> None:
    check(case, make_dataset, is_trimming=False, is_least=True)


@some
@given(case=cases)
def test_the_least_static_buffers_follow_sampled_actions_as_the_reference_does(
    case: Case, make_dataset: DatasetMaker
) -> None:
    check(case, make_dataset, is_trimming=False, is_least=True, sample=True)


@some
@given(case=cases)
def test_halves_with_the_network_between_them_give_the_outcomes_of_the_reference(
    case: Case, make_dataset: DatasetMaker
) -> None:
    check(case, make_dataset, is_trimming=False, is_counting=True, is_least=False)


@some
@given(case=cases)
def test_halves_on_the_least_buffers_give_the_outcomes_of_the_reference(
    case: Case, make_dataset: DatasetMaker
) -> None:
    check(case, make_dataset, is_trimming=False, is_counting=True, is_least=True)
