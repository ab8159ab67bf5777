"""The interval of an MRR to a tolerance always holds the exact value, and a smaller tolerance goes on from there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proofrank.core.errors import EvaluationError, RankingError
from proofrank.core.evaluator import Evaluator, ReferenceEvaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.provability import LeastModel, compute_least_model
from proofrank.core.prover import Candidate, Outcomes, ProverSettings
from proofrank.core.ranking import (
    TIE_POLICIES,
    AllCompletions,
    Corruptor,
    LazyQueries,
    Refinement,
    aggregate,
    metric_intervals,
    rank_queries,
)
from proofrank.core.ranking.corruptions import SIDES
from proofrank.core.ranking.next_candidates import Outlook, next_candidates
from proofrank.core.ranking.rank_table import RankTable
from tests.helpers.cases import Case, cases, sizes
from tests.helpers.datasets import DatasetMaker
from tests.helpers.policies import make_policy, without_choice
from tests.helpers.refinements import (
    CountingEvaluator,
    RememberingEvaluator,
    assert_holds,
    check_intervals,
    work_of,
)

LEVELS = ("exact", "ranks")


def check_random_cases(num_graphs: int, make_dataset: DatasetMaker) -> int:
    """Checks ten evaluations on each of ``num_graphs`` graphs; returns how many they were."""
    num_checked = 0

    @settings(
        max_examples=num_graphs,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(case=cases, has_choice=st.booleans())
    def check(case: Case, has_choice: bool) -> None:
        nonlocal num_checked
        dataset = case.dataset(make_dataset)
        policy = make_policy(dataset, case.seed, spread=2.0)
        reference = ReferenceEvaluator(
            dataset, policy if has_choice else without_choice(policy), case.settings
        )
        evaluator = RememberingEvaluator(reference)
        random = np.random.default_rng(case.seed)
        for number in range(10):
            work = work_of(case, dataset, is_filtered=bool(random.integers(2)), number=[None, 3][number % 2])
            ties, level = TIE_POLICIES[number % 4], LEVELS[int(random.integers(2))]
            check_intervals(evaluator, work, ties, level, int(random.integers(1, 40)))
            num_checked += 1

    check()
    return num_checked


def test_the_exact_value_of_every_metric_lies_inside(make_dataset: DatasetMaker) -> None:
    assert check_random_cases(20, make_dataset) == 200


@pytest.mark.slow
def test_the_exact_value_of_every_metric_lies_inside_in_a_thousand_cases(make_dataset: DatasetMaker) -> None:
    assert check_random_cases(100, make_dataset) == 1_000


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(case=cases, ties=st.sampled_from(TIE_POLICIES), level=st.sampled_from(LEVELS), num_lanes=sizes)
def test_the_vectorised_engine_gives_such_intervals(
    case: Case, ties: str, level: str, num_lanes: int, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    evaluator = CompiledEvaluator(dataset, policy, case.settings, case.options(num_lanes))

    check_intervals(evaluator, work_of(case, dataset), ties, level, 16)


@pytest.fixture(scope="module")
def chain(make_dataset: DatasetMaker) -> Dataset:
    """A chain of facts, each link of which follows by a rule as well; nothing leads back."""
    links = [f"p(n{index:02},n{index + 1:02})." for index in range(40)]
    rules = ["p(X,Z), p(Z,Y) -> v(X,Y)", "v(X,Z), p(Z,Y) -> v(X,Y)"]
    return make_dataset(links, rules, test=[f"v(n{index:02},n{index + 2:02})." for index in range(9)])


def refinement_on(chain: Dataset, evaluator: Evaluator | None, **options: Any) -> Refinement:
    """Of all test triples of ``chain``, in small parts."""
    triples = chain.splits["test"]
    work = LazyQueries(triples, [SIDES] * len(triples), Corruptor(chain))
    return Refinement(evaluator, work, compute_least_model(chain), **{"most_at_once": 8, **options})


@pytest.fixture(scope="module")
def evaluator(chain: Dataset) -> ReferenceEvaluator:
    return ReferenceEvaluator(chain, make_policy(chain, 1, spread=3.0), ProverSettings(max_depth=4))


def test_a_smaller_tolerance_goes_on_and_proves_nothing_twice(
    chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    counting = CountingEvaluator(evaluator)
    refinement = refinement_on(chain, counting)
    refinement.refine(0.05)
    first, steps = Counter(counting.asked), counting.steps
    assert refinement.mrr.value is None

    refinement.refine(0.01)

    assert refinement.mrr.half_width <= 0.01
    later = counting.asked - first
    # The tail's and the head's ranking of different triples may share a corruption; one ranking proves none twice.
    assert sum(later.values()) > 0
    assert all(number == 1 for candidate, number in counting.asked.items() if candidate.is_positive)
    assert not any(candidate.is_positive for candidate in later)
    assert refinement.counts.steps == counting.steps > steps
    whole = CountingEvaluator(evaluator)
    at_once = refinement_on(chain, whole)
    at_once.refine(0.01)
    assert refinement.refine(0.01) == refinement.mrr
    assert counting.steps == refinement.counts.steps
    at_once.refine(0)
    refinement.refine(0)
    assert counting.asked == whole.asked
    assert counting.steps == whole.steps


def test_a_tolerance_that_has_been_reached_asks_for_nothing(
    chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    counting = CountingEvaluator(evaluator)
    refinement = refinement_on(chain, counting)
    refinement.refine(0.02)
    asked = Counter(counting.asked)

    refinement.refine(0.3)

    assert counting.asked == asked


def test_it_stops_when_its_time_is_over_and_goes_on_later(
    chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    refinement = refinement_on(chain, evaluator)

    interval = refinement.refine(0, max_seconds=1e-9)

    assert interval.low < interval.high
    assert refinement.refine(0).value is not None


def test_an_error_leaves_what_is_known_as_it_was(chain: Dataset, evaluator: ReferenceEvaluator) -> None:
    class Failing(CountingEvaluator):
        num_left = 3

        def evaluate(self, candidates: Sequence[Candidate], **options: object) -> Outcomes:
            self.num_left -= 1
            if self.num_left == 0:
                raise EvaluationError("a logit is not finite")
            return super().evaluate(candidates, **options)

    failing = Failing(evaluator)
    refinement = refinement_on(chain, failing)
    with pytest.raises(EvaluationError, match="not finite"):
        refinement.refine(0)
    before = refinement.mrr

    refinement.refine(0)

    expected = refinement_on(chain, evaluator)
    expected.refine(0)
    assert before.low < before.high
    assert refinement.mrr == expected.mrr


def test_parts_that_the_caller_proves_give_the_same_as_an_evaluator(
    chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    refinement = refinement_on(chain, None)
    num_parts = 0
    while (part := refinement.next_part(0.01)) is not None:
        again = refinement.next_part(0.01)  # one that nobody proves leaves no trace
        assert again is not None
        assert list(again.candidates) == list(part.candidates)
        part.put(Outcomes.of(evaluator.evaluate(part.candidates)))
        num_parts += 1

    expected = refinement_on(chain, evaluator)
    expected.refine(0.01)
    assert num_parts > 3
    assert refinement.mrr == expected.mrr
    assert refinement.counts == expected.counts
    with pytest.raises(RankingError, match="there is no evaluator"):
        refinement.refine(0)


@pytest.mark.parametrize("ties", TIE_POLICIES)
def test_what_another_one_has_found_out_is_gone_on_from(
    chain: Dataset, evaluator: ReferenceEvaluator, ties: str
) -> None:
    whole, first, counting = (CountingEvaluator(evaluator) for _ in range(3))
    expected = refinement_on(chain, whole, ties=ties)
    expected.refine(0)
    interrupted = refinement_on(chain, first, ties=ties)
    interrupted.refine(0.05)
    state = interrupted.state()
    interrupted.refine(0.01)  # the state is a copy

    refinement = refinement_on(chain, counting, ties=ties)
    refinement.go_on_from(state)

    assert 0.01 < refinement.mrr.half_width <= 0.05
    refinement.refine(0)
    assert refinement.so_far().low.tolist() == expected.so_far().low.tolist()
    assert refinement.mrr == expected.mrr
    assert refinement.counts == expected.counts
    assert not any(candidate.is_positive for candidate in counting.asked)
    assert counting.steps < whole.steps


def test_a_state_of_other_work_or_of_another_model_is_refused(
    chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    refinement = refinement_on(chain, evaluator)
    refinement.refine(0.05)
    state = refinement.state()
    triples = list(chain.splits["test"])
    others = {
        "not one of this evaluation": Refinement(
            evaluator, LazyQueries(triples[:3], [SIDES] * 3, Corruptor(chain)), compute_least_model(chain)
        ),
        "have changed since": Refinement(
            evaluator,
            LazyQueries(triples, [SIDES] * len(triples), Corruptor(chain)),
            AllCompletions(chain.vocabulary.num_constants),
        ),
    }
    for text, other in others.items():
        with pytest.raises(RankingError, match=text):
            other.go_on_from(state)
        assert other.num_decided == 0


def test_without_a_model_the_exact_value_lies_inside_too(
    chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    triples = chain.splits["test"]
    work = LazyQueries(triples, [SIDES] * len(triples), Corruptor(chain))
    refinement = Refinement(evaluator, work, AllCompletions(chain.vocabulary.num_constants), most_at_once=8)

    refinement.refine(0.02)

    exact = aggregate(rank_queries(evaluator, work.all_queries()))
    assert refinement.counts.unprovable == 0
    assert_holds(metric_intervals(refinement.so_far(), 1.0), exact)
    refinement.refine(0)
    assert refinement.mrr.value == exact.mrr


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf, "0.1", True, None])
def test_what_is_no_tolerance_is_refused(
    tolerance: Any, chain: Dataset, evaluator: ReferenceEvaluator
) -> None:
    with pytest.raises(RankingError, match=r"mrr_tolerance is .*; expected a number of 0 or more"):
        refinement_on(chain, evaluator).refine(tolerance)


def test_a_level_without_pruning_is_refused(chain: Dataset, evaluator: ReferenceEvaluator) -> None:
    with pytest.raises(RankingError, match="pruning is 'none'; expected exact or ranks with a tolerance"):
        refinement_on(chain, evaluator, level="none")


def test_work_goes_first_to_what_narrows_the_interval_most() -> None:
    outlook = Outlook(
        low=np.array([1.0, 1.0, 60.0, 1.0]),
        high=np.array([3001.0, 3.0, 3001.0, 4001.0]),
        num_open=np.array([3000, 2, 2941, 4000]),
        growth=np.array([0.5, 0.1, 0.5, 1e-6]),
        steps=np.full(4, 6.0),
    )

    counts = next_candidates(outlook, width=1.1, least=1, most=2048)

    # The first is raised, the second closed; the third is narrow, and the fourth is hopeless.
    assert 10 < counts[0] < 60
    assert counts.tolist()[1:] == [2, 0, 0]
    assert outlook.expected_width(counts) <= 1.1


@pytest.mark.parametrize(("least", "most"), [(1, 1), (1, 7), (50, 64), (128, 2048)])
def test_the_numbers_of_candidates_keep_their_limits(least: int, most: int) -> None:
    number = 500
    outlook = Outlook(
        np.ones(number),
        np.full(number, 31.0),
        np.full(number, 30),
        np.full(number, 0.5),
        np.full(number, 6.0),
    )

    counts = next_candidates(outlook, width=0.0, least=least, most=most)

    assert (counts <= 30).all()
    assert 1 <= counts.sum() <= most
    assert counts.sum() >= least


# Each way to be wrong: the comparison with whole evaluations must see it.


@pytest.mark.parametrize(
    ("target", "name", "replacement"),
    [
        (LeastModel, "completions", lambda self, predicate, side, other: np.zeros(0, dtype=np.int64)),
        (RankTable, "bounds", lambda self: (self.larger + 1.0, self.larger + 1.0 + self.num_open)),
        (Candidate, "has_fallen_behind", lambda self, total: total - 1.0 < self.threshold),
        (Candidate, "has_fallen_behind", lambda self, total: total <= self.threshold),
    ],
    ids=["a model without atoms", "ties that do not count", "an end too early", "ties that fall behind"],
)
def test_a_defect_is_seen(
    target: type, name: str, replacement: Callable[..., Any], make_dataset: DatasetMaker
) -> None:
    with patch.object(target, name, replacement), pytest.raises(AssertionError):
        check_random_cases(20, make_dataset)
