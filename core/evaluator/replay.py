"""Runs the candidates of a recording and says which outcomes differ from the recorded ones, and where first.

Of a candidate bind: success (where it was recorded), number of steps, actions, log-probability, and, where a
trace was recorded, every state, number of actions, chosen state and log-probability on the way. A candidate that
passes a near tie may differ when it is run freely; along its recorded actions it must not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.base import Evaluator
from proofrank.core.evaluator.recordings import RecordedCandidate, RecordedStep, Recording
from proofrank.core.evaluator.reference import ReferenceEvaluator
from proofrank.core.graph import TERMINAL_PREDICATES, Dataset
from proofrank.core.prover import Candidate, Outcome, ProofStep, State, recorded

ABSOLUTE_TOLERANCE = 1e-4
RELATIVE_TOLERANCE = 1e-6
"""Of the largest logit of the trajectory: the logits of the recordings are float32."""


@dataclass(frozen=True)
class Comparison:
    """One candidate against its record.

    Attributes:
        candidate: the record.
        outcome: what the engine gave; None where it could not follow the recorded actions.
        difference: what differs first, for people to read; empty where nothing does.
    """

    candidate: RecordedCandidate
    outcome: Outcome | None
    difference: str

    @property
    def is_excused(self) -> bool:
        """Whether it differs, but only behind a near tie that the recording settled by rounding."""
        return bool(self.difference) and self.candidate.is_near_tie


def log_probability_tolerance(outcome: Outcome) -> float:
    """By how much a log-probability may differ from a recorded one."""
    return ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * outcome.largest_logit


def replay(
    recording: Recording,
    dataset: Dataset,
    evaluator: Evaluator,
    reference: ReferenceEvaluator,
    *,
    is_following: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> list[Comparison]:
    """Runs every candidate of ``recording``.

    Args:
        recording: what to compare with.
        dataset: the graph of the recording.
        evaluator: the engine under test.
        reference: tells states and actions along a trajectory, for traces and for divergences.
        is_following: whether the recorded actions are taken instead of the engine's own choice.
        on_progress: told the number of candidates done so far.

    Returns:
        A comparison for each candidate, in the order of the recording.
    """
    records = recording.candidates
    candidates = [to_candidate(record, dataset) for record in records]
    recorded_actions = [record.actions for record in records] if is_following else None
    problems = [""] * len(records)
    try:
        outcomes: list[Outcome | None] = list(
            evaluator.evaluate(candidates, recorded_actions=recorded_actions, on_progress=on_progress)
        )
    except EvaluationError:
        if not is_following:
            raise
        # Some record cannot be followed; one by one it shows which.
        followed = [
            _follow(evaluator, candidate, record)
            for candidate, record in zip(candidates, records, strict=True)
        ]
        outcomes, problems = [outcome for outcome, _ in followed], [problem for _, problem in followed]
    return [
        Comparison(record, outcome, problem or _difference(record, candidate, outcome, reference, dataset))
        for record, candidate, outcome, problem in zip(records, candidates, outcomes, problems, strict=True)
    ]


def to_candidate(record: RecordedCandidate, dataset: Dataset) -> Candidate:
    """The candidate of a record. Raises UnknownNameError."""
    predicate, first, second = record.names
    return Candidate(dataset.triple(first, predicate, second), record.is_positive)


def _follow(
    evaluator: Evaluator, candidate: Candidate, record: RecordedCandidate
) -> tuple[Outcome | None, str]:
    try:
        return evaluator.evaluate([candidate], recorded_actions=[record.actions])[0], ""
    except EvaluationError as error:
        return None, str(error)


def _difference(
    record: RecordedCandidate,
    candidate: Candidate,
    outcome: Outcome | None,
    reference: ReferenceEvaluator,
    dataset: Dataset,
) -> str:
    """Describes the first difference between ``outcome`` and ``record``; empty if there is none."""
    if outcome is None:
        return "no outcome"
    steps: tuple[ProofStep, ...] | None = None
    if record.trace is not None or outcome.actions != record.actions:
        steps = reference.prove(candidate, choose=recorded(outcome.actions), with_trace=True).trace or ()
    if record.trace is not None and steps is not None:
        for number, (ours, theirs) in enumerate(zip(steps, record.trace, strict=False)):
            problem = _step_difference(ours, theirs, log_probability_tolerance(outcome), dataset)
            if problem:
                return f"step {number}: {problem}"
    if outcome.actions != record.actions and steps is not None:
        return _action_difference(outcome, record, steps, dataset)
    if record.is_success_recorded and outcome.success != record.success:
        return f"success {outcome.success}, recorded {record.success}"
    if outcome.steps != record.steps:
        return f"{outcome.steps} steps, recorded {record.steps}"
    error = abs(outcome.log_probability - record.log_probability)
    if not error <= log_probability_tolerance(outcome):
        return (
            f"log-probability {outcome.log_probability:.6f}, recorded {record.log_probability:.6f}: "
            f"off by {error:.2e}, more than {log_probability_tolerance(outcome):.2e}"
        )
    return ""


def _action_difference(
    outcome: Outcome, record: RecordedCandidate, steps: tuple[ProofStep, ...], dataset: Dataset
) -> str:
    pairs = zip(outcome.actions, record.actions, strict=False)
    number = next(
        (index for index, (ours, theirs) in enumerate(pairs) if ours != theirs),
        min(len(outcome.actions), len(record.actions)),
    )
    if number >= len(steps) or number >= len(record.actions):
        return f"{outcome.steps} steps, recorded {record.steps}"
    step = steps[number]
    chosen, wanted = outcome.actions[number], record.actions[number]
    logit = f"{step.logits[wanted]:.6f}" if wanted < len(step.logits) else "none"
    return (
        f"step {number}: state {_show(step.state, dataset)}, {len(step.actions)} actions: "
        f"chose {chosen} (logit {step.logits[chosen]:.6f}), recorded {wanted} (logit here {logit})"
    )


def _step_difference(ours: ProofStep, theirs: RecordedStep, tolerance: float, dataset: Dataset) -> str:
    state = state_names(ours.state, dataset)
    chosen = state_names(ours.actions[ours.chosen], dataset)
    if state != theirs.state:
        return f"state {_show_names(state)}, recorded {_show_names(theirs.state)}"
    where = f"state {_show_names(state)}"
    if len(ours.actions) != theirs.num_actions:
        return f"{where}: {len(ours.actions)} actions, recorded {theirs.num_actions}"
    if chosen != theirs.chosen:
        return f"{where}: chose {_show_names(chosen)}, recorded {_show_names(theirs.chosen)}"
    if not abs(ours.log_probability - theirs.log_probability) <= tolerance:
        return f"{where}: log-probability {ours.log_probability:.6f}, recorded {theirs.log_probability:.6f}"
    return ""


def state_names(state: State, dataset: Dataset) -> tuple[tuple[str, ...], ...]:
    """``state`` by names, as recordings write it."""
    vocabulary = dataset.vocabulary
    names: list[tuple[str, ...]] = []
    for predicate, first, second in state:
        name = vocabulary.predicate_name(predicate)
        is_terminal = name in TERMINAL_PREDICATES
        arguments = () if is_terminal else (vocabulary.argument_name(first), vocabulary.argument_name(second))
        names.append((name, *arguments))
    return tuple(names)


def atom_text(names: tuple[str, ...]) -> str:
    """An atom by names as text; a terminal one has no arguments."""
    predicate, *arguments = names
    return f"{predicate}({', '.join(arguments)})" if arguments else predicate


def _show(state: State, dataset: Dataset) -> str:
    return _show_names(state_names(state, dataset))


def _show_names(names: tuple[tuple[str, ...], ...]) -> str:
    atoms = [atom_text(atom) for atom in names]
    return f"[{', '.join(atoms)}]"
