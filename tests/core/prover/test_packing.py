"""Packed atoms hold as many names as they say, and not one more."""

from __future__ import annotations

import dataclasses

import pytest

from proofrank.core.errors import EvaluationError
from proofrank.core.graph import Dataset, Vocabulary
from proofrank.core.prover.packing import ARGUMENT_BITS, PREDICATE_BITS, check_packable
from tests.helpers.datasets import DatasetMaker


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    return make_dataset(["p(a,b)."], ["p(X,Y) -> q(Y,X)"])


def test_as_many_variables_as_fit_are_taken_and_one_more_is_refused(dataset: Dataset) -> None:
    most = (1 << ARGUMENT_BITS) - 1 - dataset.vocabulary.num_constants

    check_packable(dataset, most)
    with pytest.raises(EvaluationError, match=f"at most {(1 << ARGUMENT_BITS) - 1} together"):
        check_packable(dataset, most + 1)


def test_as_many_predicates_as_fit_are_taken_and_one_more_is_refused(dataset: Dataset) -> None:
    most = (1 << PREDICATE_BITS) - 4
    names = tuple(f"p{number:06}" for number in range(most + 1))

    def with_predicates(number: int) -> Dataset:
        return dataclasses.replace(dataset, vocabulary=Vocabulary(names[:number], ("a", "b")))

    check_packable(with_predicates(most), 10)
    with pytest.raises(
        EvaluationError, match=f"{most + 1} predicates; the vectorised engines hold at most {most}"
    ):
        check_packable(with_predicates(most + 1), 10)
