"""Two engines on the same candidates: what differs, and the first state in which they part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from proofrank.core.default import DATASET, POLICY
from proofrank.core.evaluator import ReferenceEvaluator, create_evaluator
from proofrank.core.evaluator.diff import Difference, describe, differences
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.prover import Candidate, Outcome
from proofrank.service.cli.main import main


class OneOtherAction:
    """An engine with a fault: it takes another action than the policy's at the first choice of every candidate."""

    engine = "faulty"

    def __init__(self, reference: ReferenceEvaluator) -> None:
        self._reference = reference

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Outcome]:
        """Outcomes that begin with the second action where the policy takes the first, and the other way round."""

        def choose_otherwise() -> Callable[[Sequence[float]], int]:
            choices: list[int] = []

            def choose(logits: Sequence[float]) -> int:
                best = max(range(len(logits)), key=logits.__getitem__)
                choices.append(best if choices or len(logits) == 1 else 1 - min(best, 1))
                return choices[-1]

            return choose

        return [self._reference.prove(candidate, choose=choose_otherwise()) for candidate in candidates]


@pytest.fixture(scope="module")
def countries() -> tuple[Dataset, ReferenceEvaluator, list[Candidate]]:
    dataset = load_dataset(DATASET)
    policy = load_policy(POLICY, dataset)
    assert policy.settings is not None
    reference = ReferenceEvaluator(dataset, policy, policy.settings)
    return dataset, reference, [Candidate(triple, is_positive=True) for triple in dataset.splits["test"]]


def test_engines_that_agree_have_no_difference(countries: Any) -> None:
    dataset, reference, candidates = countries
    policy = load_policy(POLICY, dataset)
    eager = create_evaluator("eager", dataset, policy, reference.prover.settings)
    assert differences(eager, reference, candidates) == []


def test_another_choice_is_shown_with_its_state_actions_and_who_chose_what(countries: Any) -> None:
    dataset, reference, candidates = countries
    found = differences(reference, OneOtherAction(reference), candidates)
    text = describe(found[0], ("original", "faulty"), reference, dataset)
    state = "locatedInCR({}, {})".format(*dataset.names(found[0].candidate.triple)[::2])
    assert len(found) == len(candidates)
    assert f"first divergence at step 0, state [{state}]" in text
    assert text.count("<- original") == text.count("<- faulty") == 1
    assert "[Endf]" in text


def test_the_command_exits_with_0_where_the_engines_agree(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["diff", "--queries", "2", "--corruptions", "3", "--side", "tail"])
    assert status == 0
    assert "8 candidates, engines eager and original: 0 outcomes differ" in capsys.readouterr().out


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda actions: (99, *actions[1:]), "faulty chose 99 of only 3 actions"),
        (lambda actions: actions[:-1], "faulty had ended before"),
        (lambda actions: (*actions, 0), "by the reference the trajectory has ended\n  faulty took action 0"),
    ],
    ids=["no such action", "too few", "too many"],
)
def test_actions_that_are_no_trajectory_are_shown_too(
    change: Any, text: str, is_first: bool, countries: Any
) -> None:
    dataset, reference, candidates = countries
    right = reference.prove(candidates[0])
    wrong = dataclasses.replace(right, actions=change(right.actions))
    pair = [("faulty", wrong), ("original", right)][:: 1 if is_first else -1]
    difference = Difference(candidates[0], pair[0][1], pair[1][1])
    assert text in describe(difference, (pair[0][0], pair[1][0]), reference, dataset)


@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_comparison_of_nothing_is_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["diff", "--queries", number])
    assert caught.value.code == 2
    assert f"--queries: '{number}'; expected a whole number, 1 or more" in capsys.readouterr().err


def test_an_unknown_second_engine_is_refused_before_the_first_has_proved_anything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["diff", "--against", "orginal"]) == 2
    assert "unknown engine 'orginal'; did you mean 'original'" in capsys.readouterr().err
