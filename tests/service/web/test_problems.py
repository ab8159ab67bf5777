"""One table turns errors of the domain into answers."""

from __future__ import annotations

import pytest

from proofrank.service import errors
from proofrank.service.errors import (
    BadCheckpoint,
    FieldError,
    InvalidInput,
    QueueFull,
    ServiceError,
    TryLater,
)
from proofrank.service.web.problems import problem_of

ABSTRACT = (ServiceError, TryLater)
DOMAIN_ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ServiceError) and kind not in ABSTRACT
]
WRONG = FieldError(field="seed", value=-1, message="expected 0 or more")


def make(kind: type[ServiceError]) -> ServiceError:
    if issubclass(kind, BadCheckpoint):
        return kind("weights", "not a safetensors file")
    return kind([WRONG]) if issubclass(kind, InvalidInput) else kind("what went wrong")


@pytest.mark.parametrize("kind", DOMAIN_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_domain_has_an_answer_that_says_what_it_says(kind: type[ServiceError]) -> None:
    error = make(kind)
    problem = problem_of(error)
    assert 400 <= problem.status < 600
    assert problem.detail == error.detail
    assert ("Retry-After" in problem.headers) == isinstance(error, TryLater)


def test_an_answer_says_when_to_come_back() -> None:
    problem = problem_of(QueueFull("8 candidates wait", retry_seconds=7))
    assert (problem.status, problem.headers) == (429, {"Retry-After": "7"})


def test_many_wrong_fields_are_counted_and_the_first_are_shown() -> None:
    problem = problem_of(InvalidInput([WRONG] * 30, number=1000))
    assert problem.detail == "seed: expected 0 or more (and 999 more)"
    assert len(problem.errors) == 20


def test_an_error_that_is_none_of_the_domain_has_no_answer() -> None:
    with pytest.raises(TypeError, match="ValueError is no error"):
        problem_of(ValueError("a fault"))
