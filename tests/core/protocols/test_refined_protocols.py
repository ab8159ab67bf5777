"""Ranks to a tolerance, and pruned ones, under the candidates of every protocol, are those that counting gives."""

from __future__ import annotations

from typing import cast

import numpy as np

from proofrank.core.choices import Side
from proofrank.core.evaluator import Evaluator, ReferenceEvaluator
from proofrank.core.graph import Dataset, Triple
from proofrank.core.protocols import AllEntities, CandidatesByRelation, FixedNegatives
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Candidate
from proofrank.core.ranking import (
    TIE_POLICIES,
    Corruptor,
    LazyQueries,
    Pruning,
    rank_queries,
    with_constant,
)
from proofrank.core.ranking.corruptions import SIDES
from tests.helpers.cases import collected_cases
from tests.helpers.datasets import DatasetMaker
from tests.helpers.policies import make_policy, without_choice
from tests.helpers.refinements import RememberingEvaluator, check_intervals

LEVELS = ("exact", "ranks")


def drawn_work(
    dataset: Dataset, triples: list[Triple], kind: int, random: np.random.Generator
) -> LazyQueries:
    """``triples`` and one of them again, each on one side or both, against the candidates of a kind of protocol."""
    triples = [*triples, triples[0]]
    sides: list[tuple[Side, ...]] = [(SIDES[:1], SIDES[1:], SIDES)[int(random.integers(3))] for _ in triples]
    return LazyQueries(triples, sides, drawn_corruptor(dataset, triples, kind, random))


def drawn_corruptor(
    dataset: Dataset, triples: list[Triple], kind: int, random: np.random.Generator
) -> Corruptor:
    constants = np.arange(1, dataset.vocabulary.num_constants + 1)
    if kind == 0:
        return AllEntities(dataset, None, bool(random.integers(2)))
    if kind == 1:
        pools: dict[tuple[int, Side], np.ndarray] = {
            (predicate, side): np.unique(random.choice(constants, int(random.integers(1, 6))))
            for predicate in range(1, dataset.vocabulary.num_predicates + 1)
            for side in SIDES
        }
        number = None if random.integers(2) else 2
        return CandidatesByRelation(dataset, number, bool(random.integers(2)), pools=pools)
    # Negatives in any order, some of them twice.
    negatives: dict[tuple[Triple, Side], np.ndarray] = {
        (triple, side): random.choice(constants[constants != own], int(random.integers(1, 9)))
        for triple in triples
        for side, own in zip(SIDES, (triple.head, triple.tail), strict=True)
    }
    return FixedNegatives(dataset, is_filtered=False, negatives=negatives)


def ranks_by_counting(evaluator: Evaluator, work: LazyQueries) -> list[tuple[int, float, int, int]]:
    """The optimistic, realistic and pessimistic rank of each query, and how many candidates it has."""
    ranks = []
    for triple, sides in zip(work.triples, work.sides, strict=True):
        for side in sides:
            others = work.corruptor.constants(triple, side).tolist()
            candidates = [Candidate(with_constant(triple, side, other), False) for other in others]
            own, *scores = [
                outcome.log_probability - (0 if outcome.success else 100)
                for outcome in evaluator.evaluate([Candidate(triple, True), *candidates])
            ]
            higher, equal = sum(score > own for score in scores), sum(score == own for score in scores)
            ranks.append((1 + higher, 1 + higher + equal / 2, 1 + higher + equal, 1 + len(others)))
    return ranks


def test_every_rank_is_the_one_that_counting_gives(make_dataset: DatasetMaker) -> None:
    num_twice = 0
    for number, case in enumerate(collected_cases(9)):
        random = np.random.default_rng(case.seed)
        dataset = case.dataset(make_dataset)
        policy = make_policy(dataset, case.seed, spread=2.0)
        policy = policy if random.integers(2) else without_choice(policy)
        reference = ReferenceEvaluator(dataset, policy, case.settings)
        evaluator = cast(Evaluator, RememberingEvaluator(reference))
        triples = [candidate.triple for candidate in case.candidates(dataset)][:5]
        work = drawn_work(dataset, triples, number % 3, random)
        expected = ranks_by_counting(evaluator, work)
        num_twice += sum(len(one.constants) > len({*one.constants.tolist()}) for one in work.all_queries())

        for level in LEVELS:
            pruning = Pruning(level, compute_least_model(dataset))
            found = [one.ranks for one in rank_queries(evaluator, work.all_queries(), pruning=pruning)]
            assert expected == [
                (one.optimistic, one.realistic, one.pessimistic, one.num_candidates) for one in found
            ]
        ties, level = TIE_POLICIES[number % 4], LEVELS[int(random.integers(2))]
        refinement = check_intervals(evaluator, work, ties, level, int(random.integers(1, 40)))
        if ties != "random":
            place = TIE_POLICIES.index(ties)
            assert refinement.so_far().low.tolist() == [ranks[place] for ranks in expected]
    assert num_twice > 3
