"""Properties of every trajectory on every graph, tested on small random graphs and renamings of them."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate, Outcome, ProverSettings, ReferenceProver, Scorer, State, sampled
from tests.helpers.datasets import DatasetMaker
from tests.helpers.states import show
from tests.helpers.strategies import GRAPH_CONSTANTS, GRAPH_PREDICATES, SmallGraph, small_graphs

some = settings(max_examples=120, deadline=None)
seeds = st.integers(0, 2**16)

NamedAtom = tuple[str, str, str]

prover_settings = st.builds(
    ProverSettings,
    padding_atoms=st.integers(1, 4),
    padding_states=st.integers(2, 5),
    max_depth=st.integers(1, 8),
    memory_pruning=st.just(True),
    end_proof_action=st.booleans(),
    skip_unary_actions=st.booleans(),
)


def load(graph: SmallGraph, make_dataset: DatasetMaker) -> Dataset:
    return make_dataset(graph.train_lines(), graph.rule_lines(), test=[graph.query_line()])


def hashed_logits(text: str) -> float:
    """Returns an arbitrary number from 0 to 20 that depends only on ``text``."""
    return zlib.crc32(text.encode()) % 1_000_003 / 50_000


def policy_of_indices(state: State, actions: Sequence[State]) -> list[float]:
    """Gives arbitrary logits that depend only on indices."""
    return [hashed_logits(repr((state, action))) for action in actions]


def policy_of_names(dataset: Dataset, original_names: dict[str, str]) -> Scorer:
    """Makes an arbitrary policy that depends only on names, as they were before the dataset was renamed."""

    def as_named(state: State) -> str:
        shown = show(state, dataset)
        for separator in "(),":
            shown = shown.replace(separator, f" {separator} ")
        return " ".join(original_names.get(token, token) for token in shown.split())

    def logits(state: State, actions: Sequence[State]) -> list[float]:
        return [hashed_logits(f"{as_named(state)} -> {as_named(action)}") for action in actions]

    return logits


def prove(
    graph: SmallGraph,
    dataset: Dataset,
    scorer: Scorer = policy_of_indices,
    *,
    sample: int | None = None,
    is_positive: bool = True,
    settings: ProverSettings | None = None,
) -> Outcome:
    predicate, first, second = graph.query
    candidate = Candidate(dataset.triple(first, predicate, second), is_positive)
    prover = ReferenceProver(dataset, settings or ProverSettings())
    if sample is None:
        return prover.prove(candidate, scorer, with_trace=True)
    return prover.prove(candidate, scorer, choose=sampled(sample), with_trace=True)


def summary(outcome: Outcome) -> tuple[object, ...]:
    return (outcome.success, outcome.steps, outcome.actions, outcome.log_probability, outcome.passes_near_tie)


# Soundness, by forward chaining


def consequences(graph: SmallGraph, facts: set[NamedAtom]) -> set[NamedAtom]:
    """Returns everything that follows from ``facts``: applies every ground rule until nothing new results."""
    known = set(facts)
    while True:
        new = {head for head, body in ground_rules(graph) if body <= known} - known
        if not new:
            return known
        known |= new


def ground_rules(graph: SmallGraph) -> list[tuple[NamedAtom, set[NamedAtom]]]:
    grounded = []
    for head, body in graph.rules:
        variables = sorted({name for atom in (head, *body) for name in atom[1:]} - set(GRAPH_CONSTANTS))
        for values in itertools.product(GRAPH_CONSTANTS, repeat=len(variables)):
            value_of = dict(zip(variables, values, strict=True))

            def ground(atom: NamedAtom, value_of: dict[str, str] = value_of) -> NamedAtom:
                predicate, first, second = atom
                return (predicate, value_of.get(first, first), value_of.get(second, second))

            grounded.append((ground(head), {ground(atom) for atom in body}))
    return grounded


def usable_facts(graph: SmallGraph, *, is_positive: bool) -> set[NamedAtom]:
    return set(graph.facts) - ({graph.query} if is_positive else set())


@given(small_graphs, seeds, st.booleans(), prover_settings)
@some
def test_what_is_proved_follows_from_the_facts_and_rules(
    make_dataset: DatasetMaker, graph: SmallGraph, seed: int, is_positive: bool, settings: ProverSettings
) -> None:
    dataset = load(graph, make_dataset)

    outcome = prove(graph, dataset, sample=seed, is_positive=is_positive, settings=settings)

    if outcome.success:
        assert graph.query in consequences(graph, usable_facts(graph, is_positive=is_positive))


@given(small_graphs, st.booleans())
@some
def test_what_follows_by_one_rule_without_new_variables_is_proved_at_once(
    make_dataset: DatasetMaker, graph: SmallGraph, is_positive: bool
) -> None:
    dataset = load(graph, make_dataset)
    facts = usable_facts(graph, is_positive=is_positive)
    closed_rules = tuple(
        (head, body)
        for head, body in graph.rules
        if {name for atom in body for name in atom[1:]} <= {*head[1:], *GRAPH_CONSTANTS}
    )
    closed = SmallGraph(graph.facts, closed_rules, graph.query)

    outcome = prove(graph, dataset, is_positive=is_positive)

    assert outcome.trace is not None
    is_proved_at_once = show(outcome.trace[0].actions[0], dataset) == "True"
    follows_at_once = any(head == graph.query and body <= facts for head, body in ground_rules(closed))
    assert is_proved_at_once == (graph.query in facts or follows_at_once)


# Invariants of a trajectory


@given(small_graphs, seeds, st.booleans(), prover_settings)
@some
def test_every_step_keeps_to_the_limits(
    make_dataset: DatasetMaker, graph: SmallGraph, seed: int, is_positive: bool, settings: ProverSettings
) -> None:
    dataset = load(graph, make_dataset)
    query = tuple(dataset.splits["test"][0])
    excluded = query if is_positive else None

    outcome = prove(graph, dataset, sample=seed, is_positive=is_positive, settings=settings)

    assert outcome.trace is not None
    assert 1 <= outcome.steps == len(outcome.trace) <= settings.max_depth
    seen: set[frozenset[tuple[int, int, int]]] = set()
    for step in outcome.trace:
        seen.add(frozenset(step.state))
        assert 1 <= len(step.actions) <= settings.padding_states
        for after in step.actions:
            kinds = {atom[0] for atom in after if atom[0] >= dataset.vocabulary.true_index}
            if kinds:
                assert len(after) == 1
                assert dataset.vocabulary.endf_index in kinds or len(step.actions) == 1
                continue
            assert 1 <= len(after) <= settings.padding_atoms
            assert frozenset(after) not in seen
            assert not any(atom in dataset.facts and atom != excluded for atom in after)
        numbers = [argument for atom in step.state for argument in atom[1:]]
        assert all(0 < number < step.next_variable for number in numbers)


@given(small_graphs, seeds, prover_settings)
@some
def test_endf_is_offered_last_wherever_there_is_a_choice(
    make_dataset: DatasetMaker, graph: SmallGraph, seed: int, settings: ProverSettings
) -> None:
    dataset = load(graph, make_dataset)

    outcome = prove(graph, dataset, sample=seed, settings=settings)

    assert outcome.trace is not None
    for step in outcome.trace:
        shown = [show(after, dataset) for after in step.actions]
        has_end = shown in (["True"], ["False"])
        assert shown.count("Endf") == (settings.end_proof_action and not has_end)
        assert "Endf" not in shown[:-1]


# What must not matter


@given(small_graphs, seeds, prover_settings)
@some
def test_a_positive_is_proved_as_if_it_were_no_fact(
    make_dataset: DatasetMaker, graph: SmallGraph, seed: int, settings: ProverSettings
) -> None:
    assume(graph.query != ("p", "a", "b"))  # a fact of every graph
    without = SmallGraph(tuple(set(graph.facts) - {graph.query}), graph.rules, graph.query)
    known = SmallGraph((*without.facts, graph.query), graph.rules, graph.query)

    outcomes = [
        prove(graph, load(known, make_dataset), sample=seed, settings=settings),
        prove(graph, load(without, make_dataset), sample=seed, settings=settings),
        prove(graph, load(without, make_dataset), sample=seed, is_positive=False, settings=settings),
    ]

    assert summary(outcomes[0]) == summary(outcomes[1]) == summary(outcomes[2])
    assert outcomes[0].trace == outcomes[1].trace == outcomes[2].trace


@given(small_graphs, st.data(), prover_settings)
@some
def test_the_order_of_the_facts_in_the_file_does_not_matter(
    make_dataset: DatasetMaker, graph: SmallGraph, data: st.DataObject, settings: ProverSettings
) -> None:
    shuffled = data.draw(st.permutations(graph.facts))
    reordered = SmallGraph(tuple(shuffled), graph.rules, graph.query)

    one = prove(graph, load(graph, make_dataset), settings=settings)
    other = prove(graph, load(reordered, make_dataset), settings=settings)

    assert summary(one) == summary(other)


ascending_names = st.lists(
    st.text("bcdefgh", min_size=1, max_size=4), min_size=7, max_size=7, unique=True
).map(sorted)


@given(small_graphs, ascending_names, prover_settings)
@some
def test_new_names_in_the_same_order_give_the_same_outcome(
    make_dataset: DatasetMaker, graph: SmallGraph, names: list[str], settings: ProverSettings
) -> None:
    renaming = dict(zip((*GRAPH_CONSTANTS, *GRAPH_PREDICATES), names, strict=True))
    renamed = graph.renamed(renaming)

    one = prove(graph, load(graph, make_dataset), settings=settings)
    other = prove(renamed, load(renamed, make_dataset), settings=settings)

    assert summary(one) == summary(other)
    assert one.trace == other.trace


@given(small_graphs, st.permutations(GRAPH_CONSTANTS), st.permutations(GRAPH_PREDICATES))
@some
def test_names_in_another_order_give_the_same_proof_where_the_policy_knows_them_by_name(
    make_dataset: DatasetMaker, graph: SmallGraph, constants: list[str], predicates: list[str]
) -> None:
    # The order of names decides only the order of matching facts. Without a cut, and with a policy that clearly prefers
    # one action, that order has no effect: the trajectory passes the same states under new names.
    renaming = dict(zip((*GRAPH_CONSTANTS, *GRAPH_PREDICATES), (*constants, *predicates), strict=True))
    original = {new: old for old, new in renaming.items()}
    renamed = graph.renamed(renaming)
    dataset, other_dataset = load(graph, make_dataset), load(renamed, make_dataset)

    one = prove(graph, dataset, policy_of_names(dataset, {}))
    other = prove(renamed, other_dataset, policy_of_names(other_dataset, original))

    assume(not one.passes_near_tie)
    assert (other.success, other.steps) == (one.success, one.steps)
    assert abs(other.log_probability - one.log_probability) < 1e-9


@given(small_graphs, prover_settings)
@some
def test_the_same_candidate_has_the_same_outcome_again(
    make_dataset: DatasetMaker, graph: SmallGraph, settings: ProverSettings
) -> None:
    dataset = load(graph, make_dataset)

    assert prove(graph, dataset, settings=settings) == prove(graph, dataset, settings=settings)
