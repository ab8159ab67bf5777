"""Evaluations to a tolerance, and their comparison with whole ones after every part of the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from proofrank.core.evaluator import Evaluator, ReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Candidate, Outcome, Outcomes
from proofrank.core.ranking import (
    Corruptor,
    LazyQueries,
    Metrics,
    RankedQuery,
    Refinement,
    Scoring,
    aggregate,
    metric_intervals,
    rank_queries,
)
from proofrank.core.ranking.corruptions import SIDES
from proofrank.core.ranking.intervals import Interval, MetricIntervals
from tests.helpers.cases import Case


class CountingEvaluator:
    """Passes candidates on, and keeps how often it was asked to prove each and how many steps that took."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.engine = evaluator.engine
        self.asked: Counter[Candidate] = Counter()
        self.steps = 0
        self._evaluator = evaluator

    def evaluate(self, candidates: Sequence[Candidate], **options: object) -> Outcomes:
        self.asked.update(candidates)
        outcomes = Outcomes.of(self._evaluator.evaluate(candidates, **options))  # pyright: ignore[reportArgumentType]
        self.steps += int(outcomes.steps.sum())
        return outcomes


def work_of(
    case: Case, dataset: Dataset, *, is_filtered: bool = False, number: int | None = None
) -> LazyQueries:
    """The queries of ``case`` on both sides, against ``number`` constants, or all."""
    triples = [candidate.triple for candidate in case.candidates(dataset)]
    corruptor = Corruptor(dataset, number=number, is_filtered=is_filtered, seed=3)
    return LazyQueries(triples, [SIDES] * len(triples), corruptor)


def assert_holds(found: MetricIntervals, exact: Metrics) -> None:
    """Every metric of ``exact`` lies in its interval."""
    expected = exact.to_dict()
    for name, interval in found.by_name.items():
        if expected[name] is None:
            assert interval is None, name
        else:
            assert interval is not None
            assert expected[name] in interval, (name, interval, expected[name])
    assert (found.rankings, found.queries) == (exact.rankings, exact.queries)
    assert found.candidates == exact.candidates


def assert_ranks_hold(refinement: Refinement, whole: Sequence[RankedQuery], ties: str) -> None:
    so_far = refinement.so_far()
    for low, high, ranked in zip(so_far.low, so_far.high, whole, strict=True):
        assert low <= ranked.ranks.by(ties) <= high


def check_intervals(
    evaluator: Evaluator,
    work: LazyQueries,
    ties: str,
    level: str,
    most_at_once: int,
    scoring: Scoring | None = None,
) -> Refinement:
    """After every part of the work, every exact value is inside, and at the end it is what is left."""
    whole = rank_queries(evaluator, work.all_queries(), seed=3, scoring=scoring)
    exact = aggregate(whole, ties)
    counting = CountingEvaluator(evaluator)
    model = compute_least_model(work.corruptor.dataset)
    refinement = Refinement(
        counting,  # pyright: ignore[reportArgumentType]
        work,
        model,
        level=level,
        ties=ties,
        seed=3,
        most_at_once=most_at_once,
        scoring=scoring,
    )
    widths = [refinement.mrr.half_width]

    def look(_: object) -> None:
        assert_holds(metric_intervals(refinement.so_far(), 1.0), exact)
        assert_ranks_hold(refinement, whole, ties)
        widths.append(refinement.mrr.half_width)

    look(None)
    for tolerance in (0.2, 0.03, 0.0):
        refinement.refine(tolerance, on_progress=look)
        assert refinement.mrr.half_width <= tolerance
    assert widths == sorted(widths, reverse=True)
    assert refinement.mrr.value == exact.mrr
    so_far = refinement.so_far()
    assert so_far.low.tolist() == [ranked.ranks.by(ties) for ranked in whole] == so_far.high.tolist()
    found = metric_intervals(so_far, 1.0)
    assert [found.hits_at[k].value for k in (1, 3, 10)] == [exact.hits_at[k] for k in (1, 3, 10)]
    assert found.mean_rank.value == exact.mean_rank
    assert found.open == found.open_rankings == 0
    assert refinement.counts.steps == counting.steps
    if level == "exact":
        assert {name: vars(found)[name] for name in ("positives_proved", "corruptions_proved")} == {
            name: None if value is None else Interval(value, value)
            for name, value in vars(exact).items()
            if name in ("positives_proved", "corruptions_proved")
        }
    return refinement


class RememberingEvaluator:
    """The reference, which proves each candidate once, and ends its trajectory at the threshold of each later question.

    Many evaluations on one graph are then quick.
    """

    engine = "original"

    def __init__(self, evaluator: ReferenceEvaluator) -> None:
        self._evaluator = evaluator
        self._known: dict[Candidate, Outcome] = {}

    def evaluate(self, candidates: Sequence[Candidate], **options: object) -> Outcomes:
        return Outcomes.of([self._outcome(candidate) for candidate in candidates])

    def _outcome(self, candidate: Candidate) -> Outcome:
        whole = Candidate(candidate.triple, candidate.is_positive)
        if whole not in self._known:
            self._known[whole] = self._evaluator.prove(whole, with_trace=True)
        outcome = self._known[whole]
        total = 0.0
        assert outcome.trace is not None
        for steps, step in enumerate(outcome.trace[:-1], 1):
            total += step.log_probability
            if candidate.has_fallen_behind(total):
                actions = outcome.actions[:steps]
                return replace(
                    outcome,
                    success=False,
                    log_probability=total,
                    steps=steps,
                    actions=actions,
                    is_pruned=True,
                )
        return outcome
