"""The queue of candidates: whatever the order of takes, returns and outcomes, it ends with the same ranks."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Triple
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Candidate, CandidateQueue, Outcome, Outcomes
from proofrank.core.ranking import AllAtoms, Pruning, PruningCounts, Query, queue_of
from proofrank.core.ranking.ranks import Ranks, rank_positive
from tests.helpers.cases import Case, cases
from tests.helpers.datasets import DatasetMaker
from tests.helpers.policies import make_policy

some = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

PENALTY = 100.0


class KnownAtoms:
    """A model of these tails."""

    def __init__(self, tails: Sequence[int]) -> None:
        self._tails = list(tails)

    def contains(self, triples: np.ndarray) -> np.ndarray:
        return np.isin(triples[:, 2], self._tails)


def outcome(score: float, *, is_proved: bool, steps: int = 3) -> Outcome:
    """A trajectory that ends with ``score``, and was not ended early."""
    log_probability = score if is_proved else score + PENALTY
    return Outcome(is_proved, log_probability, steps, (0,) * steps, False, 1.0)


def query(number: int, num_corruptions: int) -> Query:
    """A query whose corruptions have the tails from 2 on, the positive 1."""
    return Query(number, Triple(1, number + 1, 1), "tail", np.arange(2, 2 + num_corruptions))


def test_positives_come_first_and_the_corruptions_of_each_as_soon_as_it_is_done() -> None:
    queries = [query(0, 3), query(1, 2), query(2, 1)]
    queue = queue_of(queries, Pruning("exact", KnownAtoms([3])))

    positives = queue.take(10)

    assert positives == [0, 4, 7]
    assert (queue.num_ready, queue.num_left, len(queue)) == (0, 9, 9)
    queue.put([4], Outcomes.of([outcome(-1.0, is_proved=True)]))
    assert queue.take(10) == [6]  # the second one's corruption with tail 3
    assert queue.num_left == 7
    queue.put([0], Outcomes.of([outcome(-120.0, is_proved=False)]))
    assert queue.take(10) == [1, 2, 3]
    assert queue.candidates([1, 2, 3]).threshold.tolist() == [-120.0, -np.inf, -120.0]
    assert queue.candidates([1, 2, 3]).is_provable.tolist() == [False, True, False]
    assert not any(queue.candidates([1, 2, 3]).is_positive)


def test_what_is_given_back_comes_before_the_rest_and_with_its_threshold() -> None:
    queue = queue_of([query(0, 4)], Pruning("ranks", AllAtoms()))
    queue.put(queue.take(1), Outcomes.of([outcome(-2.0, is_proved=True)]))
    first = queue.take(2)

    queue.give_back(first[1:])

    assert queue.take(2) == [2, 3]
    assert queue.candidates([1, 2, 3, 4]).threshold.tolist() == [-2.0] * 4
    queue.begin_again()
    assert queue.take(10) == [1, 2, 3, 4]


def test_a_queue_without_pruning_has_every_candidate_ready_in_order() -> None:
    queue = CandidateQueue([Candidate(Triple(1, 1, tail), is_positive=False) for tail in range(5)])

    assert queue.take(3) + queue.take(3) == [0, 1, 2, 3, 4]
    assert queue_of([], None).num_left == 0
    assert queue_of([], Pruning("exact", AllAtoms())).num_left == 0


def test_a_query_without_corruptions_is_done_with_its_positive() -> None:
    queue = queue_of([query(0, 0), query(1, 2)], Pruning("exact", KnownAtoms([])))
    queue.put(queue.take(2), Outcomes.of([outcome(-1.0, is_proved=True), outcome(-1.0, is_proved=True)]))

    assert (queue.num_ready, queue.num_left) == (0, 0)
    assert PruningCounts.of(queue.outcomes()) == PruningCounts(evaluated=2, unprovable=2, steps=6)


# Scores as they meet at the bound: ties, sums that the penalty rounds, and positives at -100 and below.
_sums = st.one_of(
    st.sampled_from([0.0, -1.0, -1e-14, -1e-15, -2.0, -3.552713678800501e-15, -100.0, -200.0, -1e-300]),
    st.floats(-210.0, 0.0),
)


@settings(max_examples=400, deadline=None)
@given(
    level=st.sampled_from(["exact", "ranks"]),
    positive=st.tuples(_sums, st.booleans()),
    corruptions=st.lists(
        st.tuples(st.lists(_sums, min_size=1, max_size=4), st.booleans(), st.booleans()), max_size=8
    ),
    is_repeated=st.booleans(),
)
def test_no_sum_at_the_bound_changes_a_rank(
    level: str,
    positive: tuple[float, bool],
    corruptions: list[tuple[list[float], bool, bool]],
    is_repeated: bool,
) -> None:
    """A corruption is its log-probabilities step by step, whether it is proved, and whether it is in the model."""
    if is_repeated:
        corruptions = corruptions * 2  # candidates that occur twice, which a caller's own may
    of_positive = outcome(positive[0] - (0 if positive[1] else PENALTY), is_proved=positive[1])
    ends = [
        (running_sums(steps), is_proved, is_proved or is_in_model)
        for steps, is_proved, is_in_model in corruptions
    ]
    whole = [of_positive.score, *(sums[-1] - (0.0 if is_proved else PENALTY) for sums, is_proved, _ in ends)]
    tails = [2 + place for place, (_, _, is_in_model) in enumerate(ends) if is_in_model]
    queue = queue_of([query(0, len(ends))], Pruning(level, KnownAtoms(tails)))  # pyright: ignore[reportArgumentType]
    queue.put(queue.take(1), Outcomes.of([of_positive]))

    indices = queue.take(len(ends))
    queue.put(
        indices,
        Outcomes.of(
            [
                ended(candidate, *ends[index - 1][:2])
                for index, candidate in zip(indices, queue.candidates(indices), strict=True)
            ]
        ),
    )

    assert queue.num_left == 0
    assert rank_positive(queue.outcomes().scores, seed=1) == rank_positive(whole, seed=1)
    if level == "exact":
        assert queue.outcomes().success.tolist() == [positive[1], *(is_proved for _, is_proved, _ in ends)]


def running_sums(steps: Sequence[float]) -> list[float]:
    """The sum after each step, added as an evaluator adds."""
    sums = [0.0]
    for step in steps:
        sums.append(sums[-1] + step)
    return sums[1:]


def ended(candidate: Candidate, sums: Sequence[float], is_proved: bool) -> Outcome:
    """The outcome of a trajectory with these sums, ended at the first step after which it has fallen behind."""
    for steps, log_probability in enumerate(sums[:-1], 1):
        if candidate.has_fallen_behind(log_probability):
            return Outcome(False, log_probability, steps, (0,) * steps, False, 1.0, is_pruned=True)
    return Outcome(is_proved, sums[-1], len(sums), (0,) * len(sums), False, 1.0)


@some
@given(case=cases, level=st.sampled_from(["exact", "ranks"]), seed=st.integers(0, 2**16))
def test_any_order_of_takes_returns_and_outcomes_ends_with_the_same_ranks(
    case: Case, level: str, seed: int, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    evaluator = ReferenceEvaluator(
        dataset, make_policy(dataset, case.seed, spread=2.0, **case.shape), case.settings
    )
    constants = np.arange(1, dataset.vocabulary.num_constants + 1)
    triples = [dataset.triple(first, predicate, second) for (predicate, first, second), _ in case.queries[:4]]
    queries = [
        Query(index, triple, "tail", constants[constants != triple.tail])
        for index, triple in enumerate(triples)
    ]
    pruning = Pruning(level, compute_least_model(dataset))  # pyright: ignore[reportArgumentType]
    queue = queue_of(queries, pruning)
    chance = random.Random(seed)
    taken: list[int] = []
    while queue.num_left:
        assert queue.num_ready or taken, "nothing can go on"
        act = chance.choice(["take", "take", "put", "put", "give back", "begin again"])
        if act == "take":
            taken += queue.take(chance.randint(1, 9))
        elif act == "put" and taken:
            done = [taken.pop(chance.randrange(len(taken))) for _ in range(min(3, len(taken)))]
            queue.put(done, Outcomes.of(evaluator.evaluate(queue.candidates(done))))
        elif act == "give back" and taken:
            queue.give_back([taken.pop()])
        elif act == "begin again":
            queue.begin_again()
            taken.clear()

    assert ranks_of(queries, queue.outcomes()) == ranks_of(queries, whole_outcomes(evaluator, queries))


def whole_outcomes(evaluator: ReferenceEvaluator, queries: Sequence[Query]) -> Outcomes:
    queue = queue_of(queries, None)
    return Outcomes.of(evaluator.evaluate(queue.candidates(queue.take(len(queue)))))


def ranks_of(queries: Sequence[Query], outcomes: Outcomes) -> list[Ranks]:
    ends = np.cumsum([one.num_candidates for one in queries]).tolist()
    return [
        rank_positive(outcomes[end - one.num_candidates : end].scores, seed=5)
        for one, end in zip(queries, ends, strict=True)
    ]


def test_a_threshold_of_another_query_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison refuses a queue that takes the score of one positive for that of another."""
    after_positive = Pruning.after_positive
    monkeypatch.setattr(
        Pruning, "after_positive", lambda self, score, known: after_positive(self, score + 1.5, known)
    )

    with pytest.raises(AssertionError):
        test_no_sum_at_the_bound_changes_a_rank()
