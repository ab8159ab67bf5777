"""The vectorised evaluator without a compiler gives the reference's outcomes for any graph, settings and policy.

Hypothesis makes graphs, rules, settings and policies. Both kinds of buffers are tested: those that follow the true
counts and those of fixed shape, each with usual sizes and with the smallest that suffice for one lane.

No compiler is used here, because each graph has its own shapes, which take the compiler half a minute. Compiled ticks
are compared with the reference and with recordings on whole data sets (``test_parity_datasets``,
``test_vectorized_parity``).
"""

from __future__ import annotations

from hypothesis import given

from tests.helpers.cases import (
    Case,
    cases,
    check,
    many,
    some,
)
from tests.helpers.datasets import DatasetMaker


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
